"""The experiments' own code on tiny images; what they found is in assets/results/shortcuts."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from xraylib.data import index, sources, splits

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def countermeasures():
    place = ROOT / "experiments" / "countermeasures.py"
    spec = importlib.util.spec_from_file_location("countermeasures", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def studied(module, tree, **more):
    table = splits.hold_out_validation(index.from_tree(sources.locate(tree)), seed=0)
    how = {"matched_for": "aspect", "image_size": 32, "epochs": 1, "batch_size": 8, "seed": 0}
    return pd.DataFrame(module.study(table, {"data": "tiny"}, **how | more))


@pytest.mark.slow
def test_a_study_has_plain_and_test_metrics_and_every_cue(countermeasures, tree):
    rows = studied(countermeasures, tree, countermeasure="both random")
    assert {"validation", "test"} <= set(rows["on"])
    assert {"AUC", "specificity"} <= set(rows["metric"])
    rests = rows[rows["metric"].str.startswith("rests on")]
    assert len(rests) == 4
    assert (rows["countermeasure"] == "both random").all()


def test_what_is_done_is_not_done_again(countermeasures, tmp_path):
    done = []

    def job(name):
        done.append(name)
        return [{"data": name, "seed": 1, "value": 0.5}]

    jobs = [({"data": name, "seed": 1}, lambda name=name: job(name)) for name in ("a", "b")]
    countermeasures.run(tmp_path / "found.csv", jobs[:1])
    countermeasures.run(tmp_path / "found.csv", jobs)
    assert done == ["a", "b"]
    assert pd.read_csv(tmp_path / "found.csv")["data"].tolist() == ["a", "b"]
