"""Read the patient of an image from its file name or its folders, in the ways that data sets do."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from xraylib.data import words

_PNEUMONIA: Final = re.compile(r"person(?P<number>\d+)_(?P<kind>bacteria|virus)_\d+", re.I)
_NORMAL: Final = re.compile(r"(?P<family>(?:NORMAL2-)?IM)-(?P<number>\d+)", re.I)
_MENDELEY: Final = re.compile(
    r"(?P<kind>bacteria|virus|normal|pneumonia)-(?P<number>\d+)-\d+", re.I
)
# NIH numbers 30,805 patients with eight digits; a first digit of 1 or 2 would be that of a date.
_NIH: Final = re.compile(r"(?P<number>0\d{7})_\d{3}(?!\d)")
_CHEXPERT: Final = re.compile(r"(?:^|[/_-])patient(?P<number>\d+)[/_-]study\d+", re.I)

_PATIENT_WORD: Final = re.compile(
    r"(patient|pat|pt|subject|subj|sub|case|person|pid)(?![a-z])", re.I
)
# Folders that hold images of many patients, although there is a number in their names.
_PLACE: Final = re.compile(
    r"(sites?|hospitals?|cent(er|re)s?|clinics?|wards?|scanners?|devices?|machines?|batch(es)?"
    r"|parts?|(sub)?sets?|groups?|cohorts?|folds?|images?|imgs?|films?|views?|frontal|lateral"
    r"|stud(y|ies)|series|visits?|exams?|scans?|days?|years?|size|dicom|dcm|jpe?g|png)(?![a-z])"
    r"|(19|20)\d\d(?!\d)|(64|128|224|256|299|320|384|512|1024)(x|px|$)|(ap|pa)$",
    re.I,
)


class Place(NamedTuple):
    """Where an image lies: the folders above its class folder, and its path below that."""

    site: str
    below: str


@dataclass(frozen=True)
class Rule:
    """A way of telling patients apart that needs nothing but the paths of the images.

    Attributes:
        name: What it is called as a parameter.
        words: What it reads, for a sentence such as "12 patients are told apart by ...".
        key: Returns the patient of an image from its path below the class folder, or `""`.
        by_name: Whether it reads the name of the file alone, and not its folders.
        of_site: Whether two sites number their patients each.
    """

    name: str
    words: str
    key: Callable[[str], str]
    by_name: bool
    of_site: bool = False

    def keys(self, places: Sequence[Place]) -> list[str]:
        """Read the patient of each image, or `""`.

        Keys that differ only in upper and lower case or in leading zeros are one patient.
        """
        first: dict[str, str] = {}
        keys = map(self._key_at if self.of_site else lambda place: self.key(place.below), places)
        return [
            first.setdefault(re.sub(r"(?<!\d)0+(?=\d)", "", key.casefold()), key) for key in keys
        ]

    def _key_at(self, place: Place) -> str:
        key = self.key(place.below)
        if place.site and key:
            return f"{place.site}/{key}"
        # A patient's folder may hold those of the classes.
        return key or (place.site if says_patient(place.site) else "")


def places(paths: Sequence[str], classes: Iterable[str]) -> list[Place]:
    """Read where images lie in their class, whatever the order of splits, sites and classes.

    Args:
        paths: With `/`, below the folder that holds the splits, or else the classes.
        classes: The names of the class folders.

    Example:
        >>> places(["train/Berlin/NORMAL/case_1/a.png"], ["NORMAL", "PNEUMONIA"])
        [Place(site='Berlin', below='case_1/a.png')]
    """
    pair = {words.key(name) for name in classes}
    known: dict[str, tuple[str, str]] = {}
    result = []
    for path in paths:
        folder, _, name = path.rpartition("/")
        if folder not in known:
            folders = [each for each in folder.split("/") if not words.split_of(each)]
            depths = (depth for depth, each in enumerate(folders) if words.key(each) in pair)
            depth = next(depths, 0)
            known[folder] = ("/".join(folders[:depth]), "/".join((*folders[depth + 1 :], "")))
        site, below = known[folder]
        result.append(Place(site, below + name))
    return result


def subtype(path: str) -> str:
    """Read the kind of pneumonia from a file name: `"bacteria"`, `"virus"` or `""`.

    Example:
        >>> subtype("train/PNEUMONIA/person12_virus_46.jpeg"), subtype("VIRUS-1980593-0001.jpeg")
        ('virus', 'virus')
    """
    name = path.rpartition("/")[2]
    match = _PNEUMONIA.match(name) or _MENDELEY.match(name)
    kind = match["kind"].lower() if match else ""
    return kind if kind in ("bacteria", "virus") else ""


def family(path: str) -> str:
    """Read which of the two families of names a normal image of Kaggle's set has, or `""`.

    Example:
        >>> family("test/NORMAL/NORMAL2-IM-0013-0001.jpeg"), family("IM-0001-0001.jpeg")
        ('NORMAL2-IM', 'IM')
    """
    match = _NORMAL.match(path.rpartition("/")[2])
    return match["family"].upper() if match else ""


def place(path: str) -> str:
    """Return the folders of a path that do not merely sort one patient's images, such as views.

    Example:
        >>> place("case_12/view1/IM-0001-0001.jpg"), place("frontal/IM-0001-0001.jpg")
        ('case_12', '')
    """
    return "/".join(folder for folder in path.split("/")[:-1] if not _PLACE.match(folder))


def says_patient(key: str) -> bool:
    """Whether the folders of a key of `"folder"` are called a patient, a subject or a case."""
    return any(_PATIENT_WORD.match(folder) for folder in key.split("/"))


def _kaggle(path: str) -> str:
    # Bacterial and viral patients are numbered separately, and so are the two normal families.
    name = path.rpartition("/")[2]
    if match := _PNEUMONIA.match(name):
        return f"{match['kind'].lower()}-{int(match['number'])}"
    if match := _NORMAL.match(name):
        return f"{match['family'].upper()}-{int(match['number'])}"
    return ""


def _mendeley(path: str) -> str:
    # The number alone: a patient has the same one with every diagnosis.
    match = _MENDELEY.match(path.rpartition("/")[2])
    return str(int(match["number"])) if match else ""


def _nih(path: str) -> str:
    match = _NIH.match(path.rpartition("/")[2])
    return match["number"] if match else ""


def _chexpert(path: str) -> str:
    match = _CHEXPERT.search(path)
    return f"patient{match['number']}" if match else ""


def _folder(path: str) -> str:
    """The folders down to the first that a word or a number marks as a patient's."""
    folders = path.split("/")[:-1]
    for depth, folder in enumerate(folders, start=1):
        numbered = re.search(r"\d", folder) and not _PLACE.match(folder)
        if numbered or _PATIENT_WORD.match(folder):
            return "/".join(folders[:depth])
    return ""


RULES: Final = {
    rule.name: rule
    for rule in (
        Rule("chexpert", "names like those of CheXpert", _chexpert, by_name=False),
        Rule("mendeley", "file names like Mendeley's, version 3", _mendeley, by_name=True),
        Rule("kaggle", "file names like Kaggle's", _kaggle, by_name=True),
        Rule("nih", "file names like NIH's", _nih, by_name=True),
        Rule("folder", "their folders", _folder, by_name=False, of_site=True),
    )
}
AUTO: Final = "auto"
NONE: Final = "none"
NAMES: Final = (AUTO, *RULES, NONE)
