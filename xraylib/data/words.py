"""Say what the name of a file or a folder stands for: a class, a split, masks, or nothing.

A name is compared without regard to case, to the way in which Unicode composes its letters, and to
spaces around it. Two words name classes, NORMAL and PNEUMONIA, in any case, in the plural, and with
digits or signs around them: `Normal`, `1_NORMAL`, `pneumonias`. No other word does: `healthy` could
be guessed, but not `No Finding`, `Not Normal` and `COVID`, and a wrong guess swaps the labels.
"""

import re
import unicodedata
from typing import Final

# The position is the label: 0 NORMAL, 1 PNEUMONIA.
CLASSES: Final[tuple[str, str]] = ("NORMAL", "PNEUMONIA")
SPLITS: Final[tuple[str, str, str]] = ("train", "val", "test")
# Images whatever they contain: what cannot be read is said later. Others are told by their content.
IMAGE_SUFFIXES: Final[tuple[str, ...]] = (".jpeg", ".jpg", ".png")

_SPLIT_WORDS: Final = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
# May stand beside the word of a split: train_images, "Test Set".
_EMPTY_WORDS: Final = {"set", "data", "dataset", "image", "images", "imgs", "folder", "split"}
_MASK_WORDS: Final = {"mask", "segmentation", "annotation"}
_SYSTEM: Final = {
    "__macosx",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "icon\r",
    "@eadir",
    "$recycle.bin",
    "system volume information",
}


def is_clutter(name: str) -> bool:
    """Whether a file or folder is hidden or left by an operating system, by its name.

    Example:
        >>> is_clutter("._IM-0001-0001.jpeg"), is_clutter("Thumbs.db"), is_clutter("IM-0001.jpeg")
        (True, True, False)
    """
    return name.startswith(".") or name.casefold() in _SYSTEM


def is_image(name: str) -> bool:
    """Whether a file is an image by its name alone: `.jpeg`, `.jpg` or `.png`, and no clutter.

    Example:
        >>> is_image("scan.JPG"), is_image("scan.dcm")
        (True, False)
    """
    return not is_clutter(name) and name.lower().endswith(IMAGE_SUFFIXES)


def is_zip(name: str) -> bool:
    """Whether a file is a zip archive, by its name; no clutter.

    Example:
        >>> is_zip("archive.ZIP"), is_zip("._archive.zip")
        (True, False)
    """
    return not is_clutter(name) and name.lower().endswith(".zip")


def key(name: str) -> str:
    """What two names of one class have in common; one of `CLASSES` if it is one of these two words.

    Example:
        >>> key("normals"), key("2_Pneumonia"), key(" Lung_Opacity")
        ('NORMAL', 'PNEUMONIA', 'lung_opacity')
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()
    letters = "".join(filter(str.isalpha, folded)).removesuffix("s")
    return letters.upper() if letters.upper() in CLASSES else folded


def split_of(name: str) -> str:
    """The split that a folder is named after, one of `SPLITS`, or an empty text.

    Example:
        >>> split_of("Train"), split_of("validation_set"), split_of("TEST 2"), split_of("a test")
        ('train', 'val', 'test', '')
    """
    words = [word for word in _words(name) if word not in _EMPTY_WORDS]
    return _SPLIT_WORDS.get(words[0], "") if len(words) == 1 else ""


def resembles_split(name: str) -> bool:
    """Whether a split is named among other words, as in `chest_train`, so that it may be meant.

    Example:
        >>> resembles_split("chest_train"), resembles_split("site_1")
        (True, False)
    """
    return any(word in _SPLIT_WORDS for word in _words(name))


def is_masks(name: str) -> bool:
    """Whether a folder holds masks beside images, or a file is one, by its name without suffix.

    Example:
        >>> is_masks("masks"), is_masks("LungMasks"), is_masks("film1_mask"), is_masks("unmasked")
        (True, True, True, False)
    """
    singular = [word.removesuffix("s") for word in _words(name)]
    return any(word in _MASK_WORDS or word.endswith("mask") for word in singular)


def _words(name: str) -> list[str]:
    """The words of a name in lower case: `TrainSet`, `train_set` and `trainset` are two words."""
    words = re.findall(r"[A-Z]*[a-z]+|[A-Z]+", unicodedata.normalize("NFKC", name))
    folded = (word.casefold() for word in words)
    return [part for word in folded for part in re.sub(r"(?<=.)(set|data)$", r" \1", word).split()]
