"""The model card says what the description and the records hold, and what neither of them does."""

import dataclasses
import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest
from support import runs

from xraylib import cli, errors
from xraylib.data.preparation import Preparation
from xraylib.networks import packed
from xraylib.report import card

ABOUT = packed.Description(
    name="a | network",
    version="7.1",
    date="2026-11-26",
    preparation=Preparation(64, resize="area"),
    threshold=0.4375,
    rule="highest balanced accuracy on validation",
    temperature=1.25,
    prevalence=0.75,
    refer=0.0625,
    classes=("NORMAL", "PNEUMONIA"),
    licences={"code": "MIT", "weights": "Apache-2.0"},
    measured={"validation AUC, float": 0.987654},
    checksums={"classifier.onnx": "f" * 64},
)
SECTIONS = [
    "What it is for",
    "Licences",
    "Input and output",
    "Calibration",
    "Refusals",
    "Measured when it was packed",
    "Checksums",
    "CLAIM",
]


@pytest.fixture
def results(tmp_path):
    """Three seeds of the classifier beside runs of other notebooks."""
    folder = runs.plant(tmp_path / "results")
    for seed in range(3):
        scored = runs.predictions(0.5 + seed / 10, seed=seed)
        more = {"training_seconds": 600 * (seed + 1)} if seed else {}
        runs.run(folder, "07_classifier", scored, network="lite0", seed=seed, **more)
    return folder


def rows(text, title):
    """The cells of the table below a heading."""
    part = text.split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_description_is_told_without_records(tmp_path):
    text = card.text(ABOUT, card.steps(tmp_path))
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == [
        *SECTIONS[:5],
        "What it reached",
        *SECTIONS[5:],
    ]
    for told in (
        "# Model card: a | network",
        "Version 7.1, packed on 2026-11-26. **For education; not a medical device.**",
        "- weights: Apache-2.0",
        "64 px, area, stretch",
        "**Threshold**: .438 (highest balanced accuracy on validation)",
        "a share of .750 has PNEUMONIA",
        "temperature of 1.250",
        ".062 of validation",
        "There is no record of its training here:",
        "- validation AUC, float: 0.9877",
        f"- `classifier.onnx`: SHA-256 `{'f' * 64}`",
    ):
        assert told in text, told


def test_what_is_unknown_is_said_to_be(tmp_path):
    bare = dataclasses.replace(ABOUT, licences={}, measured={}, checksums={})
    text = card.text(bare, [])
    assert "Not stated." in text and "Nothing." in text and "\nNone.\n" in text


def test_records_of_the_classifier_alone_fill_the_rest(results):
    text = card.text(ABOUT, card.steps(results))
    table = rows(text, "Seeds, hardware, time")
    assert [row[0] for row in table[2:]] == [f"07_classifier-{seed:08}" for seed in range(3)]
    assert [row[5] for row in table[2:]] == ["-", "20", "30"]
    assert "01_cnn" not in text and "broken" not in text
    (_, _, row, *_) = rows(text, "What it reached")
    assert row[:2] == ["07_classifier, 64 px", "3"]
    assert re.fullmatch(r"[.\d]+ \[[.\d]+, [.\d]+\] ± [.\d]+", row[3])
    groups = [row[0] for row in rows(text, "By subgroup")[2:]]
    assert groups == ["bacteria", "virus", "NORMAL, files named IM"]
    assert "not measured, the images were not at hand" in text
    assert "`0123456789abcdef`" in text


def test_records_at_another_size_are_of_another_network(results):
    other = dataclasses.replace(ABOUT, preparation=Preparation(160))
    text = card.text(other, card.steps(results))
    assert "no record of its training here at its image size" in text
    assert "07_classifier-" not in text


def test_no_line_of_a_table_is_torn(results):
    text = card.text(ABOUT, card.steps(results))
    lines = text.splitlines()
    for above, line in itertools.pairwise(lines):
        if line.startswith("|") and above.startswith("|"):
            cells = [len(re.findall(r"(?<!\\)\|", each)) for each in (above, line)]
            assert cells[0] == cells[1], line
    assert "nan" not in text.lower().replace("finance", "") and "None" not in text


def test_subgroups_by_kind_family_and_shape():
    test = pd.DataFrame(
        {
            "path": [
                "test/NORMAL/IM-0001-0001.jpeg",
                "test/NORMAL/NORMAL2-IM-0002-0001.jpeg",
                "test/PNEUMONIA/person1_virus_1.jpeg",
                "test/PNEUMONIA/person2_bacteria_1.jpeg",
                "test/PNEUMONIA/person3_virus_1.jpeg",
                "test/NORMAL/other.jpeg",
            ],
            "label": [0, 0, 1, 1, 1, 0],
            "score": [0.1, 0.6, 0.4, 0.9, 0.7, 0.2],
            "patient": list("abcdef"),
            "subtype": ["", "", "virus", "bacteria", "virus", ""],
        }
    )
    shapes = pd.Series([1.0, 1.1, 1.2, 1.3, 1.4, 1.5], index=test["path"])
    table = card.subgroups(test, threshold=0.5, shapes=shapes)
    values = table.set_index(["group", "metric"])["value"]
    assert values["bacteria", "AUC"] == 1
    assert values["virus", "sensitivity"] == 0.5
    assert values["virus", "AUC"] == pytest.approx(5 / 6)
    assert values["NORMAL, files named IM", "specificity"] == 1
    assert values["NORMAL, files named NORMAL2-IM", "specificity"] == 0
    thirds = [name for name in table["group"].unique() if "width" in name]
    assert thirds == [
        "width / height 1.17 to 1.33",
        "width / height above 1.33",
        "width / height up to 1.17",
    ]
    assert values[thirds[1], "sensitivity"] == 1 and values[thirds[1], "specificity"] == 1
    unknown = card.subgroups(test, threshold=0.5, shapes=shapes * np.nan)
    assert not unknown["group"].str.contains("width").any()


def test_the_command_prints_the_card(results, tmp_path, capsys):
    folder = tmp_path / "classifier"
    folder.mkdir()
    packed.write(folder, ABOUT)
    with pytest.raises(errors.ClassifierError, match=r"has no card .* write it with `make card`"):
        card.read(folder)
    assert card.write(results, classifier=folder) == folder / "card.md"
    assert cli.main(["card", "--classifier", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert printed == (folder / "card.md").read_text(encoding="utf-8")
    assert printed == card.text(packed.read(folder), card.steps(results))


def test_without_a_classifier_the_command_says_so_in_one_line(tmp_path, capsys):
    assert cli.main(["card", "--classifier", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "holds no classifier" in line
    (tmp_path / packed.DESCRIPTION).write_text(json.dumps({"name": 1}), encoding="utf-8")
    assert cli.main(["card", "--classifier", str(tmp_path)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
