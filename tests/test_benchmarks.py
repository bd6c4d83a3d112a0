"""The benchmarks' own code on tiny work; what they measure is in benchmarks/results."""

import importlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import jax

from xraylib.data import index, reading

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
MEASURING = ("loading", "augmentation", "training", "scoring", "predicting")


@pytest.fixture(scope="module")
def benchmarks():
    """A function that imports a benchmark by its name, as the scripts import each other."""
    before = set(sys.modules)
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module
    sys.path.remove(str(FOLDER))
    for name in {*MEASURING, "side_by_side", "table"} - before:
        sys.modules.pop(name, None)


@pytest.fixture
def side_by_side(benchmarks, tmp_path, monkeypatch):
    module = benchmarks("side_by_side")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    return module


@pytest.fixture
def table(benchmarks):
    return benchmarks("table")


def row(side_by_side, *, target=None, **more):
    """Medians 2 s and 6 s: ours is 3 times as fast."""
    times = {"ours": [1.0, 2.0, 9.0], "theirs": [8.0, 6.0, 5.0]}
    settings = {"work": "a pass", "ours": "ours", "target": target} | more
    return side_by_side.rows(times, **settings)[0]


def report(side_by_side, rows, **more):
    about = {"device": "a processor, 2 cores", "load average before": [0.25, 0.5, 0.75]}
    contents = {"machine": about, "settings": {"repeats": 3}, "rows": rows} | more
    return json.loads(json.dumps(contents))


def test_the_ratio_of_medians_is_above_1_where_ours_is_faster(side_by_side):
    times = row(side_by_side)
    assert (times["times faster"], times["ours"], times["theirs"]) == (3.0, 2.0, 6.0)
    assert times["unit"] == "s"
    assert times["all seconds of ours"] == [1.0, 2.0, 9.0]
    assert times["all seconds of theirs"] == [8.0, 6.0, 5.0]


def test_images_a_second_leave_the_ratio_as_it_is(side_by_side):
    rates = row(side_by_side, images=12)
    assert (rates["times faster"], rates["ours"], rates["theirs"]) == (3.0, 6.0, 2.0)
    assert rates["unit"] == "images/s"


def test_only_those_asked_for_are_compared(side_by_side):
    times = {"ours": [1.0], "other": [2.0], "more of ours": [4.0]}
    everyone = side_by_side.rows(times, work="", ours="ours")
    assert [one["against"] for one in everyone] == ["other", "more of ours"]
    chosen = side_by_side.rows(times, work="", ours="more of ours", against=["other"])
    assert [(one["against"], one["times faster"]) for one in chosen] == [("other", 0.5)]


def test_contenders_take_turns_and_are_prepared_outside_the_clock(side_by_side):
    calls = []
    times = side_by_side.in_turns(
        {name: lambda name=name: calls.append(name) for name in "ab"},
        repeats=2,
        description="",
        prepare=lambda: calls.append("-"),
    )
    assert "".join(calls) == "-a-b-a-b"
    assert [len(taken) for taken in times.values()] == [2, 2]


@pytest.mark.parametrize(("target", "met"), [(3.0, "yes"), (3.5, "no"), (None, "")])
def test_whether_a_target_is_met(side_by_side, target, met):
    (comparison,) = side_by_side.compared([row(side_by_side, target=target)])
    assert list(comparison) == list(side_by_side.COLUMNS)
    assert comparison["met"] == met
    assert comparison["target"] == (target or "")


def test_a_table_in_markdown(side_by_side):
    rows = [{"seconds": 1234.0, "target": "", "of": "all"}, {"seconds": 2, "target": 0.5, "of": ""}]
    assert side_by_side.markdown(rows).splitlines() == [
        "| seconds | target | of |",
        "| ---: | ---: | --- |",
        "| 1,234 |  | all |",
        "| 2 | 0.5 |  |",
    ]


def test_another_file_of_the_same_picture(side_by_side, tmp_path):
    Image.fromarray(side_by_side.noise(1, 16)[0, :, :, 0]).save(tmp_path / "one.jpeg")
    content = (tmp_path / "one.jpeg").read_bytes()
    for number in (0, 99_999_999):
        other = side_by_side.unlike(content, number)
        assert other != content
        (tmp_path / "other.jpeg").write_bytes(other)
        same = reading.grey(tmp_path / "other.jpeg") == reading.grey(tmp_path / "one.jpeg")
        assert same.all()


def test_the_page_says_no_where_a_target_is_missed(side_by_side, table, tmp_path):
    missed = row(side_by_side, target=4.0, where="decoding 1.5 s")
    met = row(side_by_side, target=2.0, work="an epoch", where="reading .5 s")
    (tmp_path / "scoring.json").write_text(json.dumps(report(side_by_side, [met, missed])))
    page = table.page(tmp_path)
    assert "| 3.0 | 4.0 | no | a pass | theirs | 2.0 | 6.0 | s |" in page
    assert "| 3.0 | 2.0 | yes | an epoch | theirs | 2.0 | 6.0 | s |" in page
    # What is missed first, and why.
    assert page.index("- a pass (3.0 instead of 4.0 times as fast): decoding 1.5 s.") < page.index(
        "- an epoch: reading .5 s."
    )


def test_a_missing_file_of_results_is_left_out_and_said(side_by_side, table, tmp_path):
    (tmp_path / "loading.json").write_text(json.dumps(report(side_by_side, [row(side_by_side)])))
    page = table.page(tmp_path)
    assert (
        "Left out, for there are no results: augmentation, training, scoring, predicting." in page
    )
    assert "## Files to batches" in page and "## Files to scores" not in page


def test_the_page_has_notes_tables_and_the_machine_once(side_by_side, table, tmp_path):
    more = {"notes": ["A note."], "tables": {"memory": [{"MB": 52}]}}
    (tmp_path / "loading.json").write_text(json.dumps(report(side_by_side, [], **more)))
    (tmp_path / "scoring.json").write_text(json.dumps(report(side_by_side, [])))
    page = table.page(tmp_path)
    assert "A note.\n\nMemory:\n\n| MB |\n| ---: |\n| 52 |\n\n" in page
    assert page.count("a processor, 2 cores") == 1
    assert "loading (0.25), scoring (0.25)" in page


def test_a_page_of_nothing(table, tmp_path):
    with pytest.raises(SystemExit, match="run make bench first"):
        table.page(tmp_path)


@pytest.mark.parametrize("name", MEASURING)
def test_help(benchmarks, name, capsys):
    with pytest.raises(SystemExit, match="0"):
        benchmarks(name).main(["--help"])
    assert "--repeats" in capsys.readouterr().out


def test_no_repeats(benchmarks, capsys):
    with pytest.raises(SystemExit, match="2"):
        benchmarks("scoring").main(["--repeats", "0"])
    assert "must be 1 or more. Received: 0" in capsys.readouterr().err


@pytest.mark.slow
def test_augmentation_aims_at_the_fastest_of_keras(benchmarks, side_by_side, monkeypatch):
    module = benchmarks("augmentation")
    for name, value in {"IMAGES": 4, "IMAGE_SIZE": 16, "BATCH_SIZE": 2}.items():
        monkeypatch.setattr(module, name, value)
    module.main(["--repeats", "1"])
    rows = json.loads((side_by_side.RESULTS / "augmentation.json").read_text())["rows"]
    assert len(rows) == 3
    (aimed,) = [row for row in rows if row["target"] is not None]
    assert aimed["times faster"] == min(row["times faster"] for row in rows)


@pytest.mark.slow
def test_keras_as_it_comes_has_a_process_that_is_not_asked_for_other_kernels(
    side_by_side, monkeypatch
):
    kernels, as_it_comes = "TF_ENABLE_ONEDNN_OPTS", "BENCHMARK_AS_IT_COMES"
    monkeypatch.setenv(kernels, "1")
    with side_by_side.as_it_comes() as call:
        assert os.environ[kernels] == "1"
        assert as_it_comes not in os.environ
        assert call(os.getpid) != os.getpid()
        # TensorFlow is loaded there before xraylib can ask.
        call(exec, "import side_by_side")
        assert call(os.getenv, kernels) is None


def test_files_to_score_lie_in_folders_of_their_classes(benchmarks, tree, tmp_path):
    scoring = benchmarks("scoring")
    chosen = scoring._chosen(index.from_tree(tree), tmp_path / "chosen", 20)
    assert len(chosen) == 16  # one full batch
    assert set(chosen["split"]) == {"test"}
    for label, name in enumerate(("NORMAL", "PNEUMONIA")):
        there = set((tmp_path / "chosen" / name).iterdir())
        assert there == set(chosen.loc[chosen["label"] == label, "path"])


def test_scores_are_counted(benchmarks):
    scoring = benchmarks("scoring")
    scoring._check(np.array([[0.5], [0.25]]), 2)
    with pytest.raises(RuntimeError, match="1 scores of 2 files"):
        scoring._check([0.5], 2)
    with pytest.raises(RuntimeError, match="no numbers"):
        scoring._check([0.5, np.nan], 2)


def test_without_pytorch_its_steps_are_left_out_with_the_reason(benchmarks, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    works, note = benchmarks("training").of_pytorch(None)
    assert works == {}
    assert note.startswith("PyTorch is not measured: ")


ON_JAX = """
from types import SimpleNamespace
import jax, side_by_side, training

print(side_by_side.this_machine()["device"])
jax.devices = lambda *_: [SimpleNamespace(platform="gpu", id=0, device_kind="A card")]
print(side_by_side.this_machine()["device"])
"""


@pytest.mark.slow
def test_the_machine_is_told_on_jax_without_tensorflow():
    processor, card = jax.run(ON_JAX, folder=FOLDER)
    assert processor.endswith(f"{os.cpu_count()} cores")
    assert card == f"A card, {os.cpu_count()} cores"
