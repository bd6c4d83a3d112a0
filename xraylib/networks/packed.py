"""Read a packed classifier: a folder with networks in files, and what one must know to use them.

    classifier.json        what `Description` says, with a checksum of each other file
    classifier.onnx        the network, as `export` writes it, weights in float16
    classifier_int8.onnx   the same in 8 bits; may be missing
    classifier.keras       the same for Keras, weights in float16
    refusal.npz            the detectors of `evaluation.refusal`

Nothing here imports Keras.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from xraylib import errors, files
from xraylib.data.preparation import Preparation

# In the box: what `load` takes where no folder is given.
FOLDER: Final = Path(__file__).parents[1] / "weights"
DESCRIPTION: Final = "classifier.json"
REFUSAL: Final = "refusal.npz"
KERAS: Final = "classifier.keras"

Bits = Literal["float", "int8"]
ONNX: Final[dict[Bits, str]] = {"float": "classifier.onnx", "int8": "classifier_int8.onnx"}


@dataclass(frozen=True)
class Description:
    """What a packed classifier says of itself.

    Attributes:
        name: Of the network, with what it was trained on.
        version: Of its weights.
        date: On which it was packed, as 2026-11-26.
        preparation: How a file becomes the square that the network takes.
        threshold: Probabilities of at least this, at `prevalence`, are called by the second class.
        rule: How the threshold was chosen, in words.
        temperature: The logits are divided by it.
        prevalence: The share of the second class among the images on which the temperature was
            fitted, in (0, 1): probabilities are right where it is as high.
        refer: The share of validation that is referred unless another is asked for, in [0, 1).
        classes: The names of class 0 and class 1.
        licences: Of code, weights and data.
        measured: What was measured when it was packed, by name.
        checksums: The SHA-256 of each file in hexadecimal digits, by its name.

    Raises:
        ValueError: A number is out of its range.
    """

    name: str
    version: str
    date: str
    preparation: Preparation
    threshold: float
    rule: str
    temperature: float
    prevalence: float
    refer: float = 0.05
    classes: tuple[str, str] = ("NORMAL", "PNEUMONIA")
    licences: Mapping[str, str] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least, most in (
            ("threshold", 0, 1),
            ("prevalence", 0, 1),
            ("temperature", 0, float("inf")),
        ):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not least < value < most:
                raise ValueError(f"{name} must be between {least} and {most}. Received: {value!r}")
        if len(self.classes) != 2:
            raise ValueError(f"classes must be two. Received: {self.classes!r}")


def read(folder: Path | str | None = None) -> Description:
    """Read the description of a packed classifier.

    Args:
        folder: Where it lies; None for the one that is installed with this library.

    Raises:
        ClassifierError: There is none, or it is damaged.
    """
    path = Path(folder or FOLDER).expanduser() / DESCRIPTION
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        stored["preparation"] = Preparation(**stored["preparation"])
        return Description(**stored | {"classes": tuple(stored["classes"])})
    except FileNotFoundError:
        what = "the folder" if folder else "this installation"
        raise errors.ClassifierError(
            f"{what} holds no classifier ({path} is missing): give the folder of one"
        ) from None
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise errors.ClassifierError(
            f"{path} does not describe a classifier of this version ({errors.one_line(error)})"
        ) from None


def content(folder: Path | str | None, name: str, description: Description) -> bytes:
    """Read one file of a packed classifier, if it is the one that was packed.

    Raises:
        ClassifierError: It is missing, or its bytes are others.
    """
    path = Path(folder or FOLDER).expanduser() / name
    if name not in description.checksums:
        packed = ", ".join(description.checksums) or "none"
        raise errors.ClassifierError(f"{name} is not among the files of this classifier: {packed}")
    try:
        stored = path.read_bytes()
    except OSError as error:
        raise errors.ClassifierError(f"{path} cannot be read ({error.strerror})") from None
    if hashlib.sha256(stored).hexdigest() != description.checksums[name]:
        raise errors.ClassifierError(
            f"{path} is not the file that was packed (its SHA-256 is another): install it again"
        )
    return stored


def write(folder: Path | str, description: Description) -> Description:
    """Write a description into a folder, with the checksums of the files that are there.

    Returns:
        The description with the checksums.
    """
    folder = Path(folder)
    names = [name for name in (*ONNX.values(), KERAS, REFUSAL) if (folder / name).is_file()]
    checksums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    description = dataclasses.replace(description, checksums=checksums)
    stored: dict[str, Any] = dataclasses.asdict(description)
    with files.whole(folder / DESCRIPTION) as unfinished:
        text = json.dumps(stored, indent=1, ensure_ascii=False, allow_nan=False)
        unfinished.write_text(text + "\n", encoding="utf-8")
    return description
