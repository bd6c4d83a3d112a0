import io
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from xraylib.audit import checks, measurements
from xraylib.data import index

CLASS_NAMES = ("NORMAL", "PNEUMONIA")
PLACES = {("train", "NORMAL"): 24, ("train", "PNEUMONIA"): 24} | {
    ("test", name): 12 for name in CLASS_NAMES
}
METADATA = "shortcut: all file metadata together"
PIXELS = "shortcut: pixel statistics"


def name_of(label, number):
    kind = f"person{number}_bacteria_{number}" if label == "PNEUMONIA" else f"IM-{number:04}-0001"
    return f"{kind}.jpeg"


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    """72 pictures in which nothing is wrong: every one of a patient of its own, all drawn alike."""
    rng = np.random.default_rng(0)
    tree = tmp_path_factory.mktemp("sound") / "tree"
    number = 0
    for (split, label), count in PLACES.items():
        (tree / split / label).mkdir(parents=True)
        for _ in range(count):
            number += 1
            blobs = Image.fromarray(rng.integers(0, 256, (9, 9)).astype(np.uint8))
            size = (int(rng.integers(60, 72)), int(rng.integers(50, 60)))
            picture = blobs.resize(size, Image.Resampling.BICUBIC)
            picture.save(tree / split / label / name_of(label, number), quality=85)
    return tree


@pytest.fixture
def tree(sound, tmp_path):
    return Path(shutil.copytree(sound, tmp_path / "tree"))


def files(tree, place):
    return sorted((tree / place).iterdir())


def audited(tree, **options):
    measured = measurements.measure(index.from_class_folders(tree, **options))
    return checks.findings(measured).set_index("check")


def alarms(findings):
    return findings.loc[findings["severity"].isin(("severe", "warning")), "severity"].to_dict()


# What each fault does to a tree.


def cut_short(tree):
    path = files(tree, "train/NORMAL")[0]
    path.write_bytes(path.read_bytes()[:-300])


def text_called_jpeg(tree):
    files(tree, "train/NORMAL")[0].write_text("see attachment")


def png_called_jpeg(tree):
    path = files(tree, "train/PNEUMONIA")[0]
    Image.open(path).copy().save(path, format="PNG")


def copy(tree, source, target):
    # 9001 is a patient who has no other image.
    shutil.copy(files(tree, source)[0], tree / target / name_of(Path(target).name, 9001))


def saved_again(tree, source, target):
    image = Image.open(files(tree, source)[0])
    larger = image.resize((image.width + 9, image.height + 7))
    larger.save(tree / target / name_of(Path(target).name, 9002), quality=80)


def copied_and_saved_again(tree):
    copy(tree, "train/NORMAL", "test/NORMAL")
    saved_again(tree, "train/NORMAL", "train/NORMAL")


def patient_on_both_sides(tree):
    files(tree, "test/NORMAL")[0].rename(tree / "test/NORMAL/IM-0002-0001-0002.jpeg")


def few_images(tree, left):
    for path in files(tree, "test/NORMAL")[left:]:
        path.unlink()


def other_names(tree):
    for number, path in enumerate(sorted(tree.rglob("*.jpeg"))):
        path.rename(path.with_name(f"scan{number}.jpeg"))


def change(tree, places, make=lambda image: image, *, quality=85):
    """Saves all of some places again, after `make`."""
    for place in places:
        for path in files(tree, place):
            stream = io.BytesIO()
            make(Image.open(path)).save(stream, format="JPEG", quality=quality)
            path.write_bytes(stream.getvalue())


def scaled(across, down):
    return lambda image: image.resize((round(across * image.width), round(down * image.height)))


SICK = ["train/PNEUMONIA", "test/PNEUMONIA"]
WELL_IN_TRAIN, WELL_IN_TEST, SICK_IN_TRAIN, SICK_IN_TEST = (
    f"{split}/{name}" for name in CLASS_NAMES for split in ("train", "test")
)
FEW = {"images per class": "warning", "class priors": "warning"}
# The fault, its arguments, and all that is found.
FAULTS = [
    (cut_short, (), {"unreadable files": "warning"}),
    (text_called_jpeg, (), {"unreadable files": "warning"}),
    (png_called_jpeg, (), {"misnamed files": "warning"}),
    (copy, (WELL_IN_TRAIN, WELL_IN_TRAIN), {"exact copies within a split": "warning"}),
    (copy, (WELL_IN_TRAIN, WELL_IN_TEST), {"exact copies across splits": "severe"}),
    (copy, (WELL_IN_TRAIN, SICK_IN_TRAIN), {"exact copies across classes": "severe"}),
    (
        copy,
        (WELL_IN_TRAIN, SICK_IN_TEST),
        {"exact copies across splits": "severe", "exact copies across classes": "severe"},
    ),
    (saved_again, (WELL_IN_TEST, WELL_IN_TEST), {"near copies within a split": "warning"}),
    (saved_again, (SICK_IN_TRAIN, SICK_IN_TEST), {"near copies across splits": "severe"}),
    (saved_again, (WELL_IN_TEST, SICK_IN_TEST), {"near copies across classes": "severe"}),
    (
        copied_and_saved_again,
        (),
        {
            "exact copies across splits": "severe",
            "near copies within a split": "warning",
            "near copies across splits": "severe",  # with the copy, not with its original
        },
    ),
    (patient_on_both_sides, (), {"patients across splits": "severe"}),
    (few_images, (1,), FEW),
    (few_images, (0,), FEW),
    (other_names, (), {"unknown patients": "warning"}),
]
# A way of saving some places again, the shortcuts, and the shifts. Where a property of the file
# differs, so do those that hang on it; bytes are among the pixel statistics.
GAPS = {
    "quality": ({"places": SICK, "quality": 40}, ["compression", "bytes per pixel"], []),
    "quality in one class of train": (
        {"places": [WELL_IN_TRAIN], "quality": 98},
        ["compression", "bytes per pixel"],
        ["compression", "bytes per pixel"],
    ),
    "shape": ({"places": SICK, "make": scaled(4 / 3, 3 / 4)}, ["shape"], []),
    "size": ({"places": SICK, "make": scaled(1.5, 1.5)}, ["size", "bytes per pixel"], []),
    "colour": (
        {"places": SICK, "make": lambda image: image.convert("RGB")},
        ["colour", "bytes per pixel"],
        [],
    ),
}


def test_a_sound_tree_has_nothing_above_a_note(sound):
    assert alarms(audited(sound)) == {}


@pytest.mark.parametrize("fault, arguments, expected", FAULTS)
@pytest.mark.usefixtures("no_models")
def test_a_fault_is_named_and_nothing_else(tree, fault, arguments, expected):
    fault(tree, *arguments)
    assert alarms(audited(tree)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("gap", GAPS)
def test_a_gap_between_the_classes_is_named_and_nothing_else(tree, gap):
    options, shortcuts, shifts = GAPS[gap]
    change(tree, **options)
    assert alarms(audited(tree)) == {
        **{f"shortcut: {name}": "severe" for name in shortcuts},
        **{f"shift: {name}": "warning" for name in shifts},
        METADATA: "severe",
        PIXELS: "warning",
    }


def test_form_of_the_findings(sound):
    measured = measurements.measure(index.from_class_folders(sound))
    findings = checks.findings(measured)
    assert list(findings) == ["check", "severity", "count", "meaning", "examples", "compared"]
    assert findings["compared"].str.len().min() > 0
    judged = ~findings["meaning"].str.startswith("Not judged")
    assert not (findings["compared"][judged] == "nothing").any()
    assert findings["check"].is_unique
    assert set(findings["severity"]) <= {"severe", "warning", "note", "fine"}
    assert (findings["count"] >= 0).all()
    assert not findings["meaning"].str.contains("nan|NaN|\n").any()
    pd.testing.assert_frame_equal(findings, checks.findings(measured))


@pytest.mark.usefixtures("no_models")
def test_examples_are_paths_below_the_common_folder(tree):
    copy(tree, "train/NORMAL", "test/NORMAL")
    cut_short(tree)
    copy(tree, "train/PNEUMONIA", "train/PNEUMONIA")
    patient_on_both_sides(tree)
    findings = audited(tree)
    assert findings["examples"]["exact copies within a split"] == [
        "train/PNEUMONIA/person25_bacteria_25.jpeg = train/PNEUMONIA/person9001_bacteria_9001.jpeg"
    ]
    (broken,) = findings["examples"]["unreadable files"]
    assert broken.startswith("train/NORMAL/IM-0001-0001.jpeg is cut short (")
    assert findings["examples"]["patients across splits"] == ["IM-2"]


@pytest.mark.usefixtures("no_models")
def test_copies_of_one_patient_are_no_more_than_a_note(tree):
    shutil.copy(files(tree, "train/NORMAL")[0], tree / "train/NORMAL/IM-0001-0001-0002.jpeg")
    findings = audited(tree).loc["exact copies within a split"]
    assert (findings["severity"], findings["count"]) == ("note", 1)
    assert findings["meaning"].startswith("1 group of byte-identical files (2 files) in the same")


@pytest.mark.usefixtures("no_models")
def test_flat_pictures_are_no_copies_of_each_other(tree):
    for number in range(4):
        flat = Image.new("L", (60 + number, 50), 7)
        flat.save(tree / f"train/NORMAL/IM-{9000 + number}-0001.jpeg", quality=85)
    findings = audited(tree)
    assert (findings.loc[findings.index.str.contains("copies"), "count"] == 0).all()
    assert "not compared: 4 flat images" in findings["compared"]["near copies within a split"]


def test_a_folder_without_splits_and_with_other_names(tree):
    (tree / "train/NORMAL").rename(tree / "train/well")
    (tree / "train/PNEUMONIA").rename(tree / "train/ill")
    findings = audited(tree / "train", positive="ill")
    assert alarms(findings) == {}
    assert findings["meaning"]["images per class"] == "Readable images: all/well 24, all/ill 24."
    assert findings["meaning"]["shift: size"] == "Not judged: there are no train and test splits."
    assert "separates well from ill" in findings["meaning"]["shortcut: size"]


@pytest.mark.parametrize("rows", [1, 24, 25])
def test_too_little_to_tell(sound, rows):
    findings = checks.findings(measurements.measure(index.from_class_folders(sound).head(rows)))
    comparisons = findings[findings["check"].str.startswith(("shortcut", "shift"))]
    assert set(comparisons["severity"]) == {"note"}
    assert comparisons["meaning"].str.startswith("Not judged: ").all()
    assert "images per class" in set(findings.loc[findings["severity"] == "warning", "check"])


def test_findings_of_nothing(sound):
    with pytest.raises(ValueError, match="no images: give one as measurements"):
        checks.findings(index.from_class_folders(sound).head(0))


def test_not_one_readable_image(tmp_path):
    for name in ("normal/1.jpeg", "ill/2.jpeg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"nothing")
    findings = audited(tmp_path)
    assert set(alarms(findings)) == {"unreadable files", "images per class"}


def test_real_data(real_data):
    findings = audited(real_data / "chest_xray_originals")
    severe = set(findings.index[findings["severity"] == "severe"])
    assert severe == {
        "shortcut: size",
        "shortcut: shape",
        "shortcut: bytes per pixel",
        "shortcut: compression",
        METADATA,
    }
    assert "Medians: train NORMAL 96, PNEUMONIA 75" in findings["meaning"]["shortcut: compression"]
    assert (
        "NORMAL images of train were acquired differently"
        in findings["meaning"]["shift: compression"]
    )


def test_a_class_of_which_nothing_can_be_read_is_severe(tree, no_models):
    for path in files(tree, "train/NORMAL") + files(tree, "test/NORMAL"):
        path.write_text("no image")
    assert audited(tree).loc["unreadable files", "severity"] == "severe"


def test_what_was_passed_over_is_counted(tree):
    for number in range(3):
        Image.new("L", (9, 9)).save(tree / "train" / f"loose{number}.png")
    (tree / "labels.csv").write_text("a")
    findings = audited(tree)
    passed_over = findings.loc["files passed over"]
    assert (passed_over["severity"], passed_over["count"]) == ("warning", 4)
    assert "of train/: 3 (train/loose0.png); .csv files: 1 (labels.csv)" in passed_over["meaning"]
    assert (
        findings["meaning"]["unreadable files"] == "All 72 images of the two classes can be read."
    )


def test_all_files_are_said_only_where_nothing_was_passed_over(sound):
    findings = audited(sound)
    assert findings.loc["files passed over", "severity"] == "fine"
    assert findings["meaning"]["unreadable files"] == "All 72 files can be read."


def test_other_files_are_noted_without_alarm(tree):
    (tree / "labels.csv").write_text("a")
    assert audited(tree).loc["files passed over", "severity"] == "note"
