"""Which runs of a folder stand side by side, under which names."""

import json
import re

import numpy as np
import pytest
from support.runs import predictions, run

from xraylib.evaluation import comparison
from xraylib.evaluation.thresholds import Rule
from xraylib.runs import selection

SCORED = predictions(0.3, images=16)
DAY = "2026-01-{:02}T00:00:00+00:00"
# Three test images that were in the folder of the wrong class.
WRONG = SCORED.copy()
WRONG.loc[WRONG.query("split == 'test' and label == 0").index[:3], "label"] = 1


def plant(folder, *, step="01_cnn", seed=0, scored=SCORED, parameters=None, **more):
    network = more.get("network", "tiny")
    own = {"SEED": seed, "RUN_DIR": "runs"} | ({"IMAGE_SIZE": 64} if network else {})
    return run(
        folder.parent,
        step,
        scored,
        name=folder.name,
        seed=seed,
        parameters=own | (parameters or {}),
        **more,
    )


def labels(folder):
    return {
        step.label: [record.seed for record in step.records]
        for step in selection.comparable(folder).steps
    }


def reasons(folder):
    return selection.comparable(folder).left_out.set_index("run")["reason"].to_dict()


# ------------------------------------------------------------------ steps and their names


def test_runs_that_differ_in_the_seed_are_one_step(tmp_path):
    for seed in (1, 0):
        plant(tmp_path / f"small-{seed}", seed=seed)
    plant(tmp_path / "large", parameters={"IMAGE_SIZE": 224, "EPOCHS": 4})
    plant(tmp_path / "longer", parameters={"IMAGE_SIZE": 224, "EPOCHS": 9})
    plant(tmp_path / "other", step="00_file_metadata", network=None, fingerprint="else")
    steps = labels(tmp_path)
    assert list(steps.items()) == [
        ("00_file_metadata", [0]),
        ("01_cnn, 64 px", [0, 1]),
        ("01_cnn, 224 px, epochs 4", [0]),
        ("01_cnn, 224 px, epochs 9", [0]),
    ]


def test_a_name_does_not_depend_on_the_neighbours_but_a_label_does(tmp_path):
    settings = {"EPOCHS": 4, "RANDOM_SCALE": 0.35}
    plant(tmp_path / "alone" / "a", parameters=settings)
    plant(tmp_path / "both" / "a", parameters=settings)
    plant(tmp_path / "both" / "b", parameters={"EPOCHS": 4})
    (alone,) = selection.comparable(tmp_path / "alone").steps
    without, beside = selection.comparable(tmp_path / "both").steps
    assert alone.name == beside.name == "01_cnn, 64 px, epochs 4, random scale 0.35"
    assert (alone.label, beside.label) == ("01_cnn, 64 px", "01_cnn, 64 px, random scale 0.35")
    assert without.label == "01_cnn, 64 px"


def test_what_is_off_is_no_other_step(tmp_path):
    plant(tmp_path / "before", seed=0)
    plant(tmp_path / "off", seed=1, parameters={"RANDOM_SCALE": 0.0})
    plant(tmp_path / "on", seed=1, parameters={"RANDOM_SCALE": 0.35})
    assert labels(tmp_path) == {
        "01_cnn, 64 px": [0, 1],
        "01_cnn, 64 px, random scale 0.35": [1],
    }


def test_a_step_has_the_predictions_of_its_runs(tmp_path):
    plant(tmp_path / "a", scored=SCORED.assign(score=0.25))
    plant(tmp_path / "b", seed=1, scored=SCORED.assign(score=0.75))
    chosen = selection.comparable(tmp_path)
    (step,) = chosen.steps
    assert [rows["score"].iloc[0] for rows in step.predictions] == [0.25, 0.75]
    assert set(step.test["split"]) == {"test"} and set(step.test["score"]) == {0.25}
    assert list(chosen.predictions) == list(chosen.first) == ["01_cnn, 64 px"]
    assert [record.folder.name for record in chosen.records] == ["a", "b"]


# ------------------------------------------------------------------ what is left out


def test_a_step_may_have_one_validation_for_all_its_seeds(tmp_path):
    for seed, own in ((0, "aaaa"), (1, "bbbb")):
        for step in ("01_cnn", "02_cnn"):
            plant(tmp_path / f"{step}-{seed}", step=step, seed=seed, fingerprint=own)
        plant(tmp_path / f"07-{seed}", step="07_cnn", seed=seed, fingerprint="aaaa")
    assert reasons(tmp_path) == {}


def test_what_cannot_be_compared_is_left_out_by_name(tmp_path):
    for seed in (0, 1, 2):
        plant(tmp_path / f"good-{seed}", seed=seed)
    (plant(tmp_path / "gone") / "predictions.csv").unlink()
    plant(tmp_path / "nan", scored=SCORED.assign(score=np.nan), metrics=[])
    plant(tmp_path / "outside", scored=SCORED.assign(score=1.5), metrics=[])
    plant(tmp_path / "one", scored=SCORED.assign(label=0), metrics=[])
    plant(tmp_path / "fewer", seed=3, scored=SCORED[SCORED["patient"] != "test 0"])
    plant(tmp_path / "mixed", step="02_cnn", seed=1, fingerprint="ffff", finished=DAY.format(1))
    (tmp_path / "dead" / "checkpoint").mkdir(parents=True)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "record.json").write_text("{")
    messages = {
        "gone": "predictions.csv cannot be read",
        "nan": "32 predictions have no score",
        "outside": r"scores outside \[0, 1\]",
        "one": r"labels \[0\]",
        "fewer": r"tested on other data than good-2, whose data 4 of 5 runs have \(14 and 16 test",
        "mixed": r"with seed 1, .* other data than good-1, which is later; as many .* \(1 each\)",
        "dead": "not finished",
        "torn": "record cannot be read",
    }
    left_out = reasons(tmp_path)
    assert set(left_out) == set(messages)
    for name, message in messages.items():
        assert re.search(message, left_out[name]), left_out[name]
    assert labels(tmp_path) == {"01_cnn, 64 px": [0, 1, 2]}


@pytest.mark.parametrize(("wrong", "right"), [("a", "b"), ("b", "a")])
def test_the_run_on_corrected_labels_counts_and_not_the_one_before(tmp_path, wrong, right):
    plant(tmp_path / wrong, scored=WRONG, fingerprint="wrong", finished=DAY.format(1))
    plant(tmp_path / right, fingerprint="right", finished=DAY.format(2))
    (record,) = selection.comparable(tmp_path).records
    assert record.folder.name == right
    reason = f"run again later on other data as {right} (3 of 16 test images have another label)"
    assert reasons(tmp_path) == {wrong: reason}


def test_one_run_on_corrected_labels_puts_all_on_the_old_ones_out_of_date(tmp_path):
    for number, step in enumerate(("01_cnn", "02_cnn", "03_cnn"), start=1):
        plant(tmp_path / step, step=step, scored=WRONG, finished=DAY.format(number))
    plant(tmp_path / "again", step="01_cnn", fingerprint="right", finished=DAY.format(9))
    assert labels(tmp_path) == {"01_cnn, 64 px": [0]}
    left_out = reasons(tmp_path)
    assert set(left_out) == {"01_cnn", "02_cnn", "03_cnn"}
    for step in ("02_cnn", "03_cnn"):
        assert left_out[step].startswith(
            "tested on other data than again, which was finished after"
        )
        assert "3 of 16 test images have another label" in left_out[step]


def test_other_training_data_on_the_same_test_images(tmp_path):
    plant(tmp_path / "first", fingerprint="wrong", finished=DAY.format(1))
    plant(tmp_path / "second", step="02_cnn", fingerprint="wrong", finished=DAY.format(2))
    plant(tmp_path / "again", fingerprint="right", finished=DAY.format(3))
    assert labels(tmp_path) == {"01_cnn, 64 px": [0]}
    left_out = reasons(tmp_path)
    assert left_out["first"] == "run again later on other data as again"
    assert left_out["second"].startswith("with seed 0, trained or tested on other data than again")


def test_a_tie_between_data_is_named_and_the_later_counts(tmp_path):
    plant(tmp_path / "later", step="01_cnn", finished=DAY.format(2))
    plant(tmp_path / "earlier", step="02_cnn", scored=WRONG, finished=DAY.format(1))
    assert labels(tmp_path) == {"01_cnn, 64 px": [0]}
    (reason,) = reasons(tmp_path).values()
    assert "later, which is later; as many runs have the one data as the other (1 each)" in reason


def test_most_runs_count_where_none_was_replaced(tmp_path):
    for seed in (0, 1):
        plant(tmp_path / f"most-{seed}", seed=seed)
    plant(tmp_path / "odd", step="02_cnn", scored=WRONG, finished=DAY.format(9))
    assert labels(tmp_path) == {"01_cnn, 64 px": [0, 1]}
    assert "whose data 2 of 3 runs have" in reasons(tmp_path)["odd"]


def test_two_runs_of_which_none_is_later_are_both_left_out(tmp_path):
    plant(tmp_path / "a", finished=DAY.format(1))
    plant(tmp_path / "b", scored=WRONG, finished=DAY.format(1))
    plant(tmp_path / "other", step="02_cnn", finished=DAY.format(1))
    assert labels(tmp_path) == {"02_cnn, 64 px": [0]}
    assert set(reasons(tmp_path)) == {"a", "b"}


def listed(own, scored=SCORED, changed=()):
    """Writes which bytes a run was made of; those of the changed paths are others."""
    hashes = [("b" if path in changed else "a") * 64 for path in scored["path"]]
    table = scored.assign(sha256=hashes)[["path", "patient", "split", "label", "sha256"]]
    table.to_csv(own / "images.csv", index=False)


TESTED = SCORED.loc[SCORED["split"] == "test", "path"].tolist()
VALIDATED = SCORED.loc[SCORED["split"] == "validation", "path"].tolist()


def test_files_of_the_same_names_but_other_bytes_are_another_test(tmp_path):
    for seed in (0, 1):
        listed(plant(tmp_path / f"same-{seed}", seed=seed))
    listed(plant(tmp_path / "edited", seed=2), changed=TESTED[:3])
    assert labels(tmp_path) == {"01_cnn, 64 px": [0, 1]}
    assert reasons(tmp_path) == {
        "edited": "tested on other data than same-1, whose data 2 of 3 runs have "
        "(3 of 16 have other bytes)"
    }


def test_bytes_that_a_record_does_not_say_are_no_other_bytes(tmp_path):
    plant(tmp_path / "earlier version", seed=0)
    listed(plant(tmp_path / "known", seed=1))
    listed(plant(tmp_path / "part", seed=2), SCORED[SCORED["path"] != TESTED[0]])
    assert labels(tmp_path) == {"01_cnn, 64 px": [0, 1, 2]}


def test_other_bytes_of_validation_are_no_other_test(tmp_path):
    listed(plant(tmp_path / "a", seed=0))
    listed(plant(tmp_path / "b", seed=1), changed=VALIDATED)
    assert labels(tmp_path) == {"01_cnn, 64 px": [0, 1]}


@pytest.mark.parametrize("changed", [TESTED[:1], TESTED])
def test_of_as_many_runs_on_other_bytes_the_later_counts(tmp_path, changed):
    listed(plant(tmp_path / "a", seed=0))
    listed(plant(tmp_path / "b", seed=1), changed=changed)
    assert labels(tmp_path) == {"01_cnn, 64 px": [1]}
    (reason,) = reasons(tmp_path).values()
    assert reason.endswith(f"(1 each) ({len(changed)} of 16 have other bytes)")


def test_a_run_on_replaced_bytes_is_out_of_date(tmp_path):
    for seed in (0, 1, 2):
        listed(plant(tmp_path / f"old-{seed}", seed=seed, finished=DAY.format(1)))
    new = plant(tmp_path / "new", finished=DAY.format(9), fingerprint="new")
    listed(new, changed=TESTED[:2])
    assert labels(tmp_path) == {"01_cnn, 64 px": [0]}
    assert reasons(tmp_path)["old-0"].startswith("run again later on other data as new")


def test_the_same_run_twice_is_one_seed(tmp_path):
    plant(tmp_path / "copies" / "a", finished=DAY.format(1))
    plant(tmp_path / "b", finished="2026-01-01T05:00:00+05:00")
    plant(tmp_path / "c", finished=DAY.format(2))
    assert labels(tmp_path) == {"01_cnn, 64 px": [0]}
    assert reasons(tmp_path)["b"] == "run again later on the same data as c"


def test_a_copy_of_the_whole_folder_below_it_changes_nothing(tmp_path):
    plant(tmp_path / "run")
    plant(tmp_path / "backup" / "run")
    assert labels(tmp_path) == {"01_cnn, 64 px": [0]}
    assert reasons(tmp_path)["run"] == "finished when run was, on the same data"


def test_time_zones_are_minded(tmp_path):
    plant(tmp_path / "a", scored=WRONG, finished="2026-01-02T01:00:00+09:00")
    plant(tmp_path / "b", finished="2026-01-01T20:00:00+00:00")
    (record,) = selection.comparable(tmp_path).records
    assert record.folder.name == "b"


def test_a_run_that_is_trained_again_is_not_unfinished(tmp_path):
    (plant(tmp_path / "run") / "checkpoint").mkdir()
    assert reasons(tmp_path) == {}


def test_nothing_to_compare(tmp_path):
    with pytest.raises(ValueError, match=r"no records in .*: run notebooks 01 to 04"):
        selection.comparable(tmp_path)
    (plant(tmp_path / "gone") / "predictions.csv").unlink()
    with pytest.raises(ValueError, match=r"no run in .* can be compared .*gone: .*cannot be read"):
        selection.comparable(tmp_path)


# ------------------------------------------------------------------ metrics and the best step


def test_metrics_that_are_those_of_the_scores_are_taken_as_they_are(tmp_path):
    plant(tmp_path / "run")
    (record,) = selection.comparable(tmp_path).records
    stored = json.loads((tmp_path / "run" / "record.json").read_text())["metrics"]
    assert record.metrics["low"].tolist() == [row["low"] for row in stored]


def test_metrics_that_are_not_those_of_the_scores_are_computed_again(tmp_path):
    own = plant(tmp_path / "run")
    right = SCORED.assign(score=SCORED["label"] * 0.5 + 0.25)
    right.to_csv(own / "predictions.csv", index=False)
    (record,) = selection.comparable(tmp_path).records
    at_half = record.metrics[record.metrics["rule"] == Rule.HALF]
    assert at_half.loc[at_half["metric"] == "AUC", "value"].tolist() == [1, 1]


def test_the_best_step_is_a_network_where_there_is_one(tmp_path):
    plant(tmp_path / "trees", step="00_file_metadata", network=None, scored=predictions(1.0))
    plant(tmp_path / "weak", step="01_cnn", scored=predictions(0.0))
    plant(tmp_path / "strong", step="02_cnn", scored=predictions(0.9))
    steps = selection.comparable(tmp_path).steps
    reached = comparison.averages(
        {step.label: list(step.predictions) for step in steps}, resamples=0
    )
    assert selection.best(steps, reached).label == "02_cnn, 64 px"
    assert selection.best(steps[:1], reached).label == "00_file_metadata"
