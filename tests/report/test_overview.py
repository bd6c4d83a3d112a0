"""What the first two paragraphs of a page say of a folder of runs."""

import re

import pytest
from support.runs import plant, predictions, run

from xraylib.evaluation import thresholds
from xraylib.report import overview, sentences
from xraylib.runs import selection


def measure(folder):
    chosen = selection.comparable(folder)
    return overview.measure(chosen, prevalence=0.3, update=lambda: None)


def test_the_first_paragraph_says_what_was_reached_and_what_it_is_not(tmp_path):
    first, second = overview.opening(measure(plant(tmp_path / "runs"))).split("\n\n")
    summary = thresholds.summary(predictions(0.6, seed=3))
    auc = summary.query("metric == 'AUC' and rule == '0.5'").set_index("split")["value"]
    assert "Of 2 networks, 02_cnn, 64 px has the highest AUC on validation" in first
    assert f"chosen here: {sentences.short(auc['validation'])}." in first
    assert f"On test the AUC is {sentences.short(auc['test'])}, with a 95 % interval over" in first
    assert "(one seed)" in first
    assert "Made radiographs say nothing about patients" in first
    assert "not a medical device" in first
    assert "60 images of 30 patients, 30 images with pneumonia" in second
    assert "For comparison, 00_file_metadata, which is no network" in second
    assert re.search(r"Of 2 steps that follow another, (none|1|2) differs? from it", second)


def test_one_step_is_compared_with_nothing(tmp_path):
    run(tmp_path, "01_cnn", predictions(0.0))
    results = measure(tmp_path)
    assert results.compared.empty and results.not_compared.startswith("There is one step only")
    text = overview.opening(results)
    assert text.startswith("There is one step, 01_cnn, 64 px. Its AUC on validation is ")
    assert "That is not distinguishable from chance." in text


def test_baselines_alone_are_said_to_be_no_networks(tmp_path):
    run(tmp_path, "00_file_metadata", predictions(0.5), network=None)
    run(tmp_path, "00_pixel_statistics", predictions(0.1), network=None)
    text = overview.opening(measure(tmp_path))
    assert text.startswith("Of 2 steps, 00_file_metadata has the highest")
    assert "It is no network and never saw a lung." in text
    assert "For comparison" not in text


def test_a_step_that_validated_on_one_class_is_left_out(tmp_path):
    scored = predictions(0.3)
    run(tmp_path, "01_cnn", scored)
    own = run(tmp_path, "02_cnn", scored)
    some = scored[(scored["split"] == "test") | (scored["label"] == 1)]
    some.to_csv(own / "predictions.csv", index=False)
    results = measure(tmp_path)
    assert [step.label for step in results.selection.steps] == ["01_cnn, 64 px"]
    (left_out,) = results.selection.left_out.to_dict("records")
    assert left_out["run"] == "02_cnn-00000000"
    assert "labels of run 0 of 02_cnn, 64 px must be 0 or 1" in left_out["reason"]


def test_steps_that_cannot_be_measured_are_an_error(tmp_path):
    scored = predictions(0.3)
    own = run(tmp_path, "01_cnn", scored)
    scored[scored["split"] == "test"].to_csv(own / "predictions.csv", index=False)
    with pytest.raises(ValueError, match=r"no run can be measured.*has no images of validation"):
        measure(tmp_path)
