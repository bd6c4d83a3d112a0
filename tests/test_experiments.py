"""The code of the experiments on tiny images; their results are in assets/results/shortcuts."""

import pandas as pd
import pytest
from support import runs
from support.networks import mean_network
from support.scripts import ROOT, load

from xraylib.data import index, sources, splits
from xraylib.runs import selection


@pytest.fixture(scope="module")
def countermeasures():
    return load("experiments", "countermeasures.py")


@pytest.fixture(scope="module")
def build():
    return load("assets", "build.py")


def studied(module, tree, **more):
    table = splits.hold_out_validation(index.from_tree(sources.locate(tree)), seed=0)
    how = {"matched_for": "aspect", "image_size": 32, "epochs": 1, "batch_size": 8, "seed": 0}
    return pd.DataFrame(module.study(table, {"data": "tiny"}, **how | more))


@pytest.mark.slow
def test_a_study_has_plain_and_test_metrics_and_every_cue(countermeasures, tree):
    rows = studied(countermeasures, tree, countermeasure="both random")
    assert {"validation", "test"} <= set(rows["on"])
    assert {"AUC", "specificity"} <= set(rows["metric"])
    effects = rows[rows["metric"] == "swap effect"]
    assert len(effects) == effects["cue"].nunique() == 4
    assert (rows["countermeasure"] == "both random").all()


def test_what_is_done_is_not_done_again(countermeasures, tmp_path):
    done = []

    def job(name):
        done.append(name)
        return [{"data": name, "seed": 1, "value": 0.5}]

    jobs = [({"data": name, "seed": 1}, lambda name=name: job(name)) for name in ("a", "b")]
    countermeasures.run(tmp_path / "results.csv", jobs[:1])
    countermeasures.run(tmp_path / "results.csv", jobs)
    assert done == ["a", "b"]
    assert pd.read_csv(tmp_path / "results.csv")["data"].tolist() == ["a", "b"]


@pytest.mark.slow
def test_a_measured_network_is_not_measured_again(tree, tmp_path, monkeypatch):
    cues = load("experiments", "cues.py")
    table = splits.hold_out_validation(index.from_tree(tree), seed=0)
    own = runs.run(tmp_path / "runs", "01_cnn", table.assign(score=0.5), metrics=[])
    mean_network(64).save(own / "model.keras")
    monkeypatch.setattr(cues, "RESULTS", tmp_path)
    cues.measure(tmp_path / "runs", tree, aspects=None, images=2)
    files = tmp_path / "cues.csv", tmp_path / "shares.csv"
    before = [file.read_text() for file in files]
    assert all(set(pd.read_csv(file)["run"]) == {own.name} for file in files)
    monkeypatch.setattr(cues.perturbations, "rescore", None)
    cues.measure(tmp_path / "runs", tree, aspects=None, images=2)
    assert [file.read_text() for file in files] == before


@pytest.mark.parametrize("name", ["cues.csv", "shares.csv"])
def test_what_is_stored_is_named_as_the_experiment_names_it(name):
    folders = {record.parent.name for record in (ROOT / "assets/results").glob("*/record.json")}
    assert set(pd.read_csv(ROOT / "assets/results/shortcuts" / name)["run"]) <= folders


# ------------------------------------------------------------------ tables for the README


def test_countermeasures_are_averaged_over_seeds(build):
    rows = [
        ("shape", "none", 1, "validation", None, "AUC", None, 0.9),
        ("shape", "none", 2, "validation", None, "AUC", None, 1.0),
        ("shape", "none", 1, "validation", "aspect", "AUC", None, 0.5),
        ("shape", "none", 2, "validation", "aspect", "AUC", None, 0.7),
        ("shape", "none", 2, "test", None, "AUC", None, 0.7),
        ("shape", "none", 1, "validation", None, "specificity", None, 0.1),
        ("shape", "none", 1, "validation", None, "swap effect", "frame", 0.25),
        ("shape", "none", 1, "validation", None, "swap effect", "shape", 0.75),
        ("shape", "none", 2, "validation", None, "swap effect", "shape", 0.25),
        ("shape", "crop", 1, "validation", None, "AUC", None, 0.8),
    ]
    names = ["traps", "countermeasure", "seed", "on", "matched_for", "metric", "cue", "value"]
    results = pd.DataFrame(rows, columns=names)
    few = (results["on"] == "test").map({True: 19, False: 20})
    first, second = build.countermeasures(results.assign(images=few)).to_dict("records")
    assert first == {
        "traps": "shape",
        "countermeasure": "none",
        "seeds": 2,
        "validation AUC": ".950 [.900, 1.000]",
        "validation matched AUC": ".600 [.500, .700]",
        "test AUC": "-",
        "rests on": "shape .50, frame .25",
    }
    assert second["validation AUC"] == ".800"


def test_cues_are_shown_with_the_worst_perturbation_for_the_specificity(build, tmp_path):
    own = runs.run(tmp_path, "01_cnn", runs.predictions(0.3), seed=3)
    runs.run(tmp_path, "02_cnn", runs.predictions(0.3))
    swaps = pd.DataFrame(runs.swap_effects(0.5, 0.25)).assign(run=own.name)
    perturbations = pd.DataFrame(
        [
            (own.name, "wider", "specificity", -0.1, -0.2, 0.0),
            (own.name, "taller", "specificity", -0.25, -0.3, -0.2),
            (own.name, "taller", "AUC", -0.5, -0.6, -0.4),
            ("another", "wider", "specificity", -0.9, -1.0, -0.8),
        ],
        columns=["run", "perturbation", "measure", "value", "low", "high"],
    )
    steps = selection.comparable(tmp_path).steps
    (row,) = build.cues(steps, swaps, perturbations).to_dict("records")
    assert row == {
        "run": "01_cnn, 64 px, seed 3",
        "exposure": ".250 [.250, .250]",
        "shape": ".500 [.500, .500]",
        "specificity suffers most": "taller: -.250 [-.300, -.200]",
    }


def judged_number(protocol, seed, metric, value, **more):
    about = {"data": "tiny", "protocol": protocol, "seed": seed, "images": 1234}
    return about | {"metric": metric, "value": value, "low": 0.25, "high": 0.75} | more


def judged(protocol, seed, value, **more):
    names = ("AUC", "accuracy", "sensitivity", "specificity", "Brier")
    return [judged_number(protocol, seed, name, value, **more) for name in names]


def test_one_seed_of_a_protocol_is_shown_with_its_interval(build):
    table = build.protocols(pd.DataFrame(judged("official test", 0, 0.5)))
    assert table.to_dict("records") == [
        {
            "protocol": "official test",
            "seeds": 1,
            "judged images": "1,234",
            "AUC": ".500 [.250, .750]",
            "accuracy": ".500 [.250, .750]",
            "sensitivity": ".500 [.250, .750]",
            "specificity": ".500 [.250, .750]",
        }
    ]


def test_several_seeds_of_a_protocol_are_shown_with_their_lowest_and_highest(build):
    results = [
        *judged("b", 0, 0.6),
        *judged("b", 1, 0.9),
        *judged("b", 2, 0.6),
        *judged("a", 0, 0.5),
    ]
    table = build.protocols(pd.DataFrame(results))
    assert table["protocol"].tolist() == ["b", "a"]
    assert table["seeds"].tolist() == [3, 1]
    assert table["AUC"].tolist() == [".700 [.600, .900]", ".500 [.250, .750]"]


def test_data_sets_are_not_mixed(build):
    results = [*judged("a", 0, 0.6), *judged("a", 0, 0.9, data="other")]
    assert build.protocols(pd.DataFrame(results))["AUC"].tolist() == [
        ".600 [.250, .750]",
        ".900 [.250, .750]",
    ]
