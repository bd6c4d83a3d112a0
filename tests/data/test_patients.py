import warnings

import pandas as pd
import pytest

from xraylib.data import patients
from xraylib.errors import DataSourceError

AUTO = "auto"


def told(paths, tmp_path, rule=AUTO):
    """The table of `assign` for images below a tree of `split/CLASS/`, which nothing opens."""
    rows = [
        {"path": tmp_path / path, "label": int("PNEUMONIA/" in path), "split": path.split("/")[0]}
        for path in paths
    ]
    return patients.assign(pd.DataFrame(rows), top=tmp_path, rule=rule)


@pytest.mark.parametrize(
    "path, patient",
    [
        ("train/site1/NORMAL/patient_1/a.png", "site1/patient_1"),
        ("train/Berlin7/PNEUMONIA/0012/view1/a.png", "Berlin7/0012"),
        ("Berlin/train/NORMAL/case 3/a.png", "Berlin/case 3"),
        ("NORMAL/train/0012/a.png", "0012"),
        ("NORMAL/Berlin/train/0012/a.png", "Berlin/0012"),
        ("train/images/NORMAL/patient_1/a.png", "images/patient_1"),
        ("train/patient_12/NORMAL/a.png", "patient_12"),
        ("train/Berlin7/NORMAL/a.png", "train/Berlin7/NORMAL/a.png"),
        ("train/site1/NORMAL/a.png", "train/site1/NORMAL/a.png"),
        ("train/site1/NORMAL/00000013_005.png", "00000013"),
    ],
)
def test_a_patient_is_below_the_class_wherever_that_is(path, patient, tmp_path):
    row = {"path": tmp_path / path, "label": int("PNEUMONIA" in path), "split": "train"}
    table = patients.assign(pd.DataFrame([row]), top=tmp_path)
    assert table["patient"].tolist() == [patient]


def test_a_patient_of_two_classes_and_splits_below_a_site_is_one(tmp_path):
    rows = [
        {
            "path": tmp_path / split / site / name / f"pat_{at}/{split}_{name}.png",
            "label": label,
            "split": split,
        }
        for split in ("train", "test")
        for site in ("Berlin", "Ulm")
        for label, name in enumerate(("gesund", "krank"))
        for at in range(20)
    ]
    table = pd.DataFrame(rows)
    table.attrs["classes"] = ["gesund", "krank"]
    told_apart = patients.assign(table, top=tmp_path)
    assert told_apart.attrs["patients"] == {"rule": "folder", "patients": 40, "unknown": 0}
    assert set(told_apart.groupby("patient")["label"].nunique()) == {2}


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


def pairs_of(names, count=8):
    """`count` images of each class in train and in test, from a pattern of split, class, number."""
    return [
        f"{split}/{name}/{names.format(split=split, name=name, at=at, all=at + 100 * place)}"
        for place, (split, name) in enumerate(
            (split, name) for split in ("train", "test") for name in ("NORMAL", "PNEUMONIA")
        )
        for at in range(count)
    ]


def facts(table):
    return tuple(table.attrs["patients"].values())


@pytest.mark.parametrize("name", ["IM-0001-0001.jpg", "IM-0001-{all:04}.jpg", "IM-0002-0001.jpg"])
def test_one_exporters_names_are_told_by_the_folder(name, tmp_path):
    table = quietly_told(pairs_of("case_{all:04}/" + name), tmp_path)
    assert facts(table) == ("folder", 32, 0)


def test_a_number_for_everybody_names_nobody(tmp_path):
    paths = pairs_of("IM-0001-{all:04}.jpg")
    with pytest.warns(
        UserWarning, match="not read from file names like Kaggle.s: all 16 images of a class"
    ):
        table = told(paths, tmp_path)
    assert facts(table) == ("", 0, 32)
    with pytest.raises(DataSourceError, match="makes all 32 images those of one patient, IM-1:"):
        told(paths, tmp_path, "kaggle")


def test_numbers_that_begin_anew_in_every_class_name_nobody(tmp_path):
    with pytest.warns(UserWarning, match="images in different folders have the same names"):
        assert facts(told(pairs_of("IM-{at:04}-0001.jpg", 12), tmp_path)) == ("", 0, 48)


@pytest.mark.parametrize("folder", ["site{at}", "hospital_{at}", "batch-0{at}", "Berlin", "2017"])
def test_folders_of_sites_are_no_patients(folder, tmp_path):
    assert facts(quietly_told(pairs_of(folder + "/{all}.png"), tmp_path)) == ("", 0, 32)


def test_numbered_folders_in_every_class_and_split_are_sites(tmp_path):
    with pytest.warns(UserWarning, match="with both classes in every folder"):
        assert facts(told(pairs_of("A{at}/{all}.png"), tmp_path))[0] == ""


def test_a_patient_may_be_ill_once(tmp_path):
    paths = [
        f"train/{name}/{at:08}_{k:03}.png"
        for k, name in enumerate(("NORMAL", "PNEUMONIA"))
        for at in range(20)
    ]
    assert facts(quietly_told(paths, tmp_path)) == ("nih", 20, 0)


def test_two_collections_are_told_by_two_rules(tmp_path):
    paths = ["train/NORMAL/00000001_000.png", "train/PNEUMONIA/person1_virus_6.jpeg"]
    table = quietly_told([*paths, "train/NORMAL/other.png"], tmp_path)
    assert facts(table) == ("kaggle + nih", 2, 1)


def test_two_rules_for_the_same_images_are_named(tmp_path):
    paths = [f"train/NORMAL/case_{at // 4}/IM-{at:04}-0001.jpg" for at in range(16)]
    with pytest.warns(UserWarning, match=r"folder \(4 patients\) is used, kaggle \(16\) is not"):
        assert facts(told(paths, tmp_path)) == ("folder", 4, 0)
    assert facts(quietly_told(paths, tmp_path, "kaggle")) == ("kaggle", 16, 0)


def test_case_and_leading_zeros_do_not_make_another_patient(tmp_path):
    paths = [f"train/NORMAL/{name}/1.png" for name in ("patient_007", "Patient_7", "patient_70")]
    assert told(paths, tmp_path)["patient"].tolist() == ["patient_007"] * 2 + ["patient_70"]


PATHS = ["train/NORMAL/a1_x.png", "train/NORMAL/a1_y.png", "train/PNEUMONIA/b2_x.png"]


@pytest.mark.parametrize(
    "rule, expected",
    [
        (r"(?P<patient>[ab]\d)_", ["a1", "a1", "b2"]),
        (r"/([ab])\d", ["a", "a", "b"]),
        (r"(?P<view>[xy])\.(?P<patient>png)|zz", None),
        (r"/(a)1_", ["a", "a", "train/PNEUMONIA/b2_x.png"]),
        ("none", PATHS),
        ("AUTO", PATHS),
    ],
)
def test_a_regular_expression_or_a_name(rule, expected, tmp_path):
    if expected is None:
        with pytest.raises(DataSourceError, match="all 3 images those of one patient, png"):
            told(PATHS, tmp_path, rule)
    else:
        assert quietly_told(PATHS, tmp_path, rule)["patient"].tolist() == expected


@pytest.mark.parametrize(
    "rule, match",
    [
        ("([ab]", "is no regular expression .*: correct it"),
        ("kagle", r"no group: do you mean kaggle\? Received: 'kagle'"),
        (r"\d+", "it has no group: put the patient's part into brackets"),
        (r"(q\d)", "fits none of 3 images, such as train/NORMAL/a1_x.png"),
        ("nih", "fits none of 3 images"),
        ("missing.csv:who", "cannot read the list of patients .*missing.csv: No such file"),
        ("list.csv", r"the column of .*list.csv is missing: give it too"),
        ("list.csv:nobody", "has no column 'nobody': give one of file, who"),
        ("empty.csv:who", "cannot read the list of patients .*empty.csv: No columns"),
        ("other.csv:who", "no column of .*other.csv names the images, such as train"),
        ("two.csv:who", r"gives train/NORMAL/a1_x.png 2 patients \(p, q\): correct it"),
        ("binary.csv:who", "binary.csv: it is no text"),
    ],
)
def test_a_rule_that_cannot_be_used(rule, match, tmp_path):
    (tmp_path / "list.csv").write_text("file,who\na1_x.png,p\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "other.csv").write_text("file,who\nz.png,p\n")
    (tmp_path / "two.csv").write_text("file,who\na1_x.png,p\na1_x.png,q\n")
    (tmp_path / "binary.csv").write_bytes(b"PK\0\0,who\n")
    with pytest.raises(DataSourceError, match=match) as raised:
        told(PATHS, tmp_path, rule)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "content",
    [
        b"file,who\na1_x.png,p\na1_y.png,p\nb2_x.png,q\n",
        b"who,file\np,train/NORMAL/a1_x.png\np,NORMAL/a1_y.png\nq,/data/train/PNEUMONIA/b2_x.png\n",
        b"\xef\xbb\xbffile; who ;age\r\na1_x;p;3\r\na1_y;p;4\r\nb2_x;q;5\r\n",
        b"file\twho\ntrain\\NORMAL\\a1_x.png\tp\na1_y.png\tp\n.\\b2_x.png\tq\n",
        b"file,who,name\na1_x.png,p,J\xf6rg\na1_y.png,p,J\xf6rg\nb2_x.png,q,Ren\xe9\n",
        b"file,who\na1_x.png,p\na1_x.png,p\na1_y.png,p\nb2_x.png,q\nelse.png,r\nelse.png,s\n",
        "file,who\na1_x.png,p\na1_y.png,p\nb2_x.png,q\n".encode("utf-16"),
    ],
)
def test_a_csv_file_names_the_patients(content, tmp_path):
    (tmp_path / "list.csv").write_bytes(content)
    table = quietly_told(PATHS, tmp_path, "list.csv:who")
    assert table["patient"].tolist() == ["p", "p", "q"]
    assert facts(table) == ("list.csv:who", 2, 0)


def test_images_that_the_csv_file_lacks_are_unknown(tmp_path):
    (tmp_path / "list.csv").write_text("file,who\na1_x.png,007\nb2_x.png,NA\na1_y.png,\n")
    table = quietly_told(PATHS, tmp_path, "list.csv:who")
    assert table["patient"].tolist() == ["007", PATHS[1], "NA"]
    assert patients.unknown(table).tolist() == [False, True, False]


def test_what_is_resampled_follows_from_what_is_known():
    nobody, some = ({"patients": known, "unknown": 3} for known in (0, 2))
    everybody = {"patients": 5, "unknown": 0}
    assert patients.unit_of([nobody]) == "images"
    assert patients.unit_of([everybody, None]) == "patients"
    assert patients.unit_of([some]) == patients.unit_of([nobody, everybody])
    assert patients.unit_of([some]) == "known patients and single images"
