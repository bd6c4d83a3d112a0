import warnings

import pandas as pd
import pytest

from xraylib.data import patients

AUTO = "auto"


def told(paths, tmp_path, rule=AUTO):
    """The table of `assign` for images below a tree of `split/CLASS/`, which nothing opens."""
    rows = [
        {"path": tmp_path / path, "label": int("PNEUMONIA/" in path), "split": path.split("/")[0]}
        for path in paths
    ]
    return patients.assign(pd.DataFrame(rows), top=tmp_path, rule=rule)


def quietly_told(*arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return told(*arguments)


@pytest.mark.parametrize(
    "name, patient, subtype, rule",
    [
        ("person12_bacteria_46.jpeg", "bacteria-12", "bacteria", "kaggle"),
        ("person12_virus_46.jpeg", "virus-12", "virus", "kaggle"),
        ("PERSON0012_Bacteria_1.JPG", "bacteria-12", "bacteria", "kaggle"),
        ("IM-0115-0001.jpeg", "IM-115", "", "kaggle"),
        ("IM-0115-0001-0002.jpeg", "IM-115", "", "kaggle"),
        ("im-0115-0001.jpeg", "IM-115", "", "kaggle"),
        ("NORMAL2-IM-0115-0001.jpeg", "NORMAL2-IM-115", "", "kaggle"),
        ("BACTERIA-1008087-0001.jpeg", "1008087", "bacteria", "mendeley"),
        ("virus-1980593-0002.JPEG", "1980593", "virus", "mendeley"),
        ("Normal-0042-1.png", "42", "", "mendeley"),
        ("00000013_005.png", "00000013", "", "nih"),
        ("patient00001/study1/view1_frontal.jpg", "patient00001", "", "chexpert"),
        ("CheXpert_Patient64541_study2_view1.jpg", "patient64541", "", "chexpert"),
        ("patient_007/front.png", "patient_007", "", "folder"),
        ("Berlin/0012/front.png", "Berlin/0012", "", "folder"),
        ("images/case 3/a.png", "images/case 3", "", "folder"),
        ("scan.png", "train/NORMAL/scan.png", "", ""),
        ("person_bacteria_1.png", "train/NORMAL/person_bacteria_1.png", "", ""),
        ("20240105_001.png", "train/NORMAL/20240105_001.png", "", ""),
        ("site3/scan.png", "train/NORMAL/site3/scan.png", "", ""),
        ("images_001/view2/scan.png", "train/NORMAL/images_001/view2/scan.png", "", ""),
    ],
)
def test_patient_and_subtype_of_one_image(name, patient, subtype, rule, tmp_path):
    table = quietly_told([f"train/NORMAL/{name}"], tmp_path)
    assert table[["patient", "subtype"]].to_numpy().tolist() == [[patient, subtype]]
    known = int(bool(rule))
    assert table.attrs["patients"] == {"rule": rule, "patients": known, "unknown": 1 - known}
    assert patients.unknown(table).tolist() == [not known]
