"""The benchmarks' own code on tiny work; what they measure is in benchmarks/results."""

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from xraylib.data import index, reading

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
MEASURING = (
    "loading",
    "training",
    "utilization",
    "scoring",
    "augmentation",
    "growth",
    "near_copies",
)


@pytest.fixture(scope="module")
def benchmarks():
    """A function that imports a benchmark by its name, as the scripts import each other."""
    before = set(sys.modules)
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module
    sys.path.remove(str(FOLDER))
    for name in {*MEASURING, "kernels", "side_by_side", "table"} - before:
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
    given = {"work": "a pass", "ours": "ours", "target": target} | more
    return side_by_side.rows(times, **given)[0]


def report(side_by_side, rows, **more):
    about = {"device": "a processor, 2 cores", "load average before": [0.25, 0.5, 0.75]}
    given = {"machine": about, "settings": {"repeats": 3}, "rows": rows} | more
    return json.loads(json.dumps(given))


def test_the_ratio_of_medians_is_above_1_where_ours_is_faster(side_by_side):
    found = row(side_by_side)
    assert (found["times faster"], found["ours"], found["theirs"]) == (3.0, 2.0, 6.0)
    assert found["unit"] == "s"
    assert found["all seconds of ours"] == [1.0, 2.0, 9.0]
    assert found["all seconds of theirs"] == [8.0, 6.0, 5.0]


def test_images_a_second_leave_the_ratio_as_it_is(side_by_side):
    found = row(side_by_side, images=12)
    assert (found["times faster"], found["ours"], found["theirs"]) == (3.0, 6.0, 2.0)
    assert found["unit"] == "images/s"


def test_only_those_asked_for_are_compared(side_by_side):
    times = {"ours": [1.0], "other": [2.0], "more of ours": [4.0]}
    everyone = side_by_side.rows(times, work="", ours="ours")
    assert [found["against"] for found in everyone] == ["other", "more of ours"]
    chosen = side_by_side.rows(times, work="", ours="more of ours", against=["other"])
    assert [(found["against"], found["times faster"]) for found in chosen] == [("other", 0.5)]


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
    (shown,) = side_by_side.compared([row(side_by_side, target=target)])
    assert list(shown) == list(side_by_side.COLUMNS)
    assert shown["met"] == met
    assert shown["target"] == (target or "")


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
        "Left out, for there are no results: "
        "augmentation, training, utilization, scoring, growth, near_copies." in page
    )
    assert "## Files to batches" in page and "## Files to scores" not in page


def test_the_page_has_notes_tables_the_figure_and_the_machine_once(side_by_side, table, tmp_path):
    more = {"notes": ["A note."], "tables": {"slopes": [{"slope": 1.02}]}, "figure": "growth.png"}
    (tmp_path / "growth.json").write_text(json.dumps(report(side_by_side, [], **more)))
    (tmp_path / "near_copies.json").write_text(json.dumps(report(side_by_side, [])))
    page = table.page(tmp_path)
    assert "A note.\n\nSlopes:\n\n| slope |\n| ---: |\n| 1.02 |\n\n![" in page
    assert "](growth.png)" in page
    assert page.count("a processor, 2 cores") == 1
    assert "growth (0.25), near_copies (0.25)" in page


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
        benchmarks("near_copies").main(["--repeats", "0"])
    assert "must be 1 or more. Received: 0" in capsys.readouterr().err


def test_near_copies_finds_what_was_planted(benchmarks, side_by_side, monkeypatch):
    module = benchmarks("near_copies")
    monkeypatch.setattr(module, "IMAGES", 300)
    monkeypatch.setattr(module, "PLANTED", 40)
    module.main(["--repeats", "1"])
    stored = json.loads((side_by_side.RESULTS / "near_copies.json").read_text())
    assert stored["tables"]["all pairs of images"][0]["planted and found"] == 40
    assert stored["machine"]["versions"]["numpy"] == np.__version__


def test_augmentation_aims_at_the_fastest_of_keras(benchmarks, side_by_side, monkeypatch):
    module = benchmarks("augmentation")
    for name, value in {"IMAGES": 4, "IMAGE_SIZE": 16, "BATCH_SIZE": 2}.items():
        monkeypatch.setattr(module, name, value)
    module.main(["--repeats", "1"])
    rows = json.loads((side_by_side.RESULTS / "augmentation.json").read_text())["rows"]
    assert len(rows) == 3
    (aimed,) = [found for found in rows if found["target"] is not None]
    assert aimed["times faster"] == min(found["times faster"] for found in rows)


def test_keras_as_it_comes_has_a_process_that_is_not_asked_for_other_kernels(
    side_by_side, monkeypatch
):
    kernels = importlib.import_module("kernels")
    monkeypatch.setattr(kernels, "ASKED_BY_USER", None)
    monkeypatch.setenv(kernels.ASKED, "1")
    with side_by_side.as_it_comes() as call:
        assert os.environ[kernels.ASKED] == "1"
        assert kernels.AS_IT_COMES not in os.environ
        assert call(os.getpid) != os.getpid()
        assert call(os.getenv, kernels.ASKED) is None
        # TensorFlow is loaded there before xraylib can ask.
        call(exec, "import kernels, xraylib")
        assert call(os.getenv, kernels.ASKED) is None


def test_slopes(benchmarks):
    growth = benchmarks("growth")
    points = [{"images": n, "first pass": 3 * n**2, "memory of loading": 0.25} for n in (1, 10, 50)]
    assert growth.slope(points, "images", "first pass") == 2.0
    assert growth.slope(points, "images", "memory of loading") == 0.0
    assert growth.slope(points, "images", "later epoch") is None


def test_memory_is_told_beside_the_array(benchmarks, monkeypatch):
    growth = benchmarks("growth")
    monkeypatch.setattr(growth, "IMAGE_SIZE", 100)
    points = [{"images": n, "memory of loading": 30 + n / 1000} for n in (10, 1000, 3000)]
    (note,) = growth._flat(points)
    assert "From 1,000 to 3,000 images the array of pixels grows by 20.0 MB" in note
    assert "the memory of loading by 2.0 MB" in note
    (note,) = growth._flat([{"images": 10}, {"images": 20}])
    assert "not measured" in note


def test_growth_is_drawn_with_what_is_expected(benchmarks):
    growth = benchmarks("growth")
    measured = {
        grown: [{grown: value} | dict.fromkeys(costs, value) for value in (1, 10)]
        for grown, costs in growth.EXPECTED.items()
    }
    figure = growth.drawn(measured)
    first_pass, expected, *_ = figure.axes[0].lines
    assert list(first_pass.get_ydata()) == [1, 10]
    np.testing.assert_allclose(expected.get_ydata(), [1, 10])  # slope 1 in images
    *_, expected = figure.axes[1].lines
    np.testing.assert_allclose(expected.get_ydata(), [0.1, 10])  # slope 2 in the side
    plt.close(figure)


def test_one_point_of_growth(benchmarks, tree, tmp_path, monkeypatch):
    growth = benchmarks("growth")
    monkeypatch.setenv("XRAYLIB_CACHE", str(tmp_path / "cache"))
    paths = sorted((tree / "train").rglob("*.jpeg"))
    costs = growth.measure(paths, 24, tmp_path / "cache", 1, True)
    assert {"first pass", "later epoch", "training step, an image"} <= set(costs)
    assert all(cost >= 0 for cost in costs.values())
    assert not (tmp_path / "cache" / "0").exists()


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


# ------------------------------------------------------------------ utilization


def tiny_network(image_size):
    inputs = keras.Input((image_size, image_size, 1), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(4, 3, name="block1_conv1")(x)
    x = keras.layers.Flatten()(x)
    return keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(x))


def test_operations_of_a_training_step(benchmarks):
    # 3 x 3 x 1 x 4 multiplications at 2 x 2 places, then one for each of the 16 numbers.
    assert benchmarks("utilization").training_operations(tiny_network(4)) == 6 * (36 * 4 + 16)


def test_operations_of_pytorch_are_those_of_its_vgg19(benchmarks):
    pytest.importorskip("torch")
    utilization = benchmarks("utilization")
    ours = utilization.training_operations(utilization.models.vgg19(32))
    assert utilization.training_operations_of_pytorch(32) == ours


def test_share_of_the_peak(benchmarks):
    # 6 operations an image of 50 images a second, where 400 a second are the peak.
    found = benchmarks("utilization").share(
        "PyTorch, bfloat16, channels last", 224, [40.0, 60.0, 50.0], operations=6e12, peak=4e14
    )
    assert found == {
        "% of the peak": 75.0,
        "slowest to fastest": "60 to 90",
        "who": "PyTorch",
        "precision": "bfloat16, channels last",
        "side, px": 224,
        "images/s": 50.0,
        "s/epoch": 89.4,  # 4470 / 50
        "TFLOP/image": 6.0,
        "TFLOP/s": 300.0,
        "peak, TFLOP/s": 400.0,
    }


def test_the_aim_is_half_of_the_peak(benchmarks):
    used = [
        {"who": who, "% of the peak": percent, "side, px": side}
        for who, percent, side in (
            ("xraylib", 50.0, 64),
            ("PyTorch", 60.0, 64),
            ("xraylib", 9.5, 8),
        )
    ]
    assert benchmarks("utilization").aim(used) == (
        "The aim on a GPU is 50 % of the measured peak: 50 % at 64 px, met; 9.5 % at 8 px, not met."
    )


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_many_products_are_neither_endless_nor_nothing(benchmarks, precision):
    utilization = benchmarks("utilization")
    work = utilization.ON_A_PROCESSOR._replace(side=256, products=10)
    (multiply,) = utilization.products(work, precision, with_torch=False).values()
    assert 1e-3 < abs(multiply()) < 1e2


@pytest.mark.parametrize("gpus", [[], ["gpu:0"]])
def test_utilization_tells_of_each_size_and_of_the_aim_on_a_gpu(
    benchmarks, side_by_side, tmp_path, monkeypatch, gpus
):
    utilization = benchmarks("utilization")
    monkeypatch.setenv("XRAYLIB_CACHE", str(tmp_path))
    monkeypatch.setattr(utilization, "IMAGE_SIZES", (4, 8))
    monkeypatch.setattr(utilization.models, "vgg19", tiny_network)
    monkeypatch.setattr(utilization.training, "of_pytorch", lambda batches: ({}, "No PyTorch."))
    monkeypatch.setattr(utilization.machine, "gpus", lambda: gpus)
    tiny = utilization.Work(batch_size=2, steps=3, side=8, products=2, repeats=2)
    monkeypatch.setattr(utilization, "ON_A_GPU" if gpus else "ON_A_PROCESSOR", tiny)
    monkeypatch.setattr(
        utilization,
        "products",
        lambda *_, **__: {"fast": lambda: time.sleep(0.01), "slow": lambda: time.sleep(0.04)},
    )
    utilization.main([])
    stored = json.loads((side_by_side.RESULTS / "utilization.json").read_text())
    (title, used), (_, products) = stored["tables"].items()
    places = [(row["of"], row["beside steps at, px"]) for row in products]
    assert places == [("fast", 4), ("slow", 4), ("fast", 8), ("slow", 8)]
    assert [row["TFLOP/s"] for row in products[::2]] == [row["peak, TFLOP/s"] for row in used]
    assert "4,470 images" in title
    assert [(row["who"], row["side, px"]) for row in used] == [("xraylib", 4), ("xraylib", 8)]
    for row in used:
        # Of numbers with three digits each.
        expected = 100 * row["TFLOP/s"] / row["peak, TFLOP/s"]
        assert row["% of the peak"] == pytest.approx(expected, rel=0.02)
    assert stored["settings"]["steps a repeat"] == 3
    assert "No PyTorch." in stored["notes"]
    assert any("aim" in note for note in stored["notes"]) == bool(gpus)


WITHOUT_TENSORFLOW = """
import sys
from types import SimpleNamespace

class RefuseTensorFlow:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

# Not sys.modules["tensorflow"] = None: Keras takes the mere key for TensorFlow at work.
sys.meta_path.insert(0, RefuseTensorFlow())

import side_by_side, utilization, jax

print(side_by_side.this_machine()["device"])
jax.devices = lambda *_: [SimpleNamespace(platform="gpu", id=0, device_kind="A card")]
print(side_by_side.this_machine()["device"])
"""


def test_the_machine_is_told_on_jax_without_tensorflow():
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW],
        cwd=FOLDER,
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    processor, card = ran.stdout.splitlines()
    assert processor.endswith(f"{os.cpu_count()} cores")
    assert card == f"A card, {os.cpu_count()} cores"
