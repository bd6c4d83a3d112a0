"""What the traps do to whoever learns from the files, and that a swap names each of them."""

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from xraylib.audit import measurements, shortcuts
from xraylib.data import index
from xraylib.data.preparation import Preparation
from xraylib.evaluation import intervals
from xraylib.explain import swaps
from xraylib.synthetic.dataset import TRAPS, make_tree, radiograph

pytestmark = pytest.mark.slow

SIZE = 64
SQUARES = Preparation(SIZE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("trees")


def auc_of_boosted_trees(folder, columns, traps):
    """By split, the AUC of trees that see only `columns`, and its standard error."""
    tree = make_tree(folder / "-".join(["tree", *traps]), images=400, size=SIZE, traps=traps)
    measured = measurements.measure(index.from_tree(tree / "chest_xray"))
    results = {}
    for split, rows in shortcuts.baseline(measured, columns).groupby("split"):
        auc = roc_auc_score(rows["label"], rows["score"])
        healthy, sick = rows["label"].value_counts().sort_index()
        low, high = intervals.newcombe_auc(auc, sick, healthy)
        results[split] = auc, (high - low) / (2 * 1.96)
    return results["validation"], results["test"]


@pytest.mark.parametrize("columns", [measurements.FILE_FACTS, measurements.PIXEL_FACTS])
def test_only_traps_open_a_gap_between_validation_and_test(folder, columns):
    # Four standard errors of the difference: chance passes them once in 16,000 times.
    (validation, error), (test, test_error) = auc_of_boosted_trees(folder, columns, TRAPS)
    assert validation - test > 4 * np.hypot(error, test_error)
    assert validation > 0.95
    (validation, error), (test, test_error) = auc_of_boosted_trees(folder, columns, ())
    assert abs(validation - test) < 4 * np.hypot(error, test_error)


def brightness(pixels):
    return keras.layers.GlobalAveragePooling2D()(pixels)


def steps(pixels, kernel, strides=1):
    """The mean absolute answer to a kernel, (batch, 1)."""
    kernel = np.array(kernel, np.float32)[:, :, np.newaxis, np.newaxis]
    return brightness(keras.ops.absolute(keras.ops.conv(pixels, kernel, strides)))


def edges(pixels):
    return steps(pixels, [[0, 1, 0], [1, -4, 1], [0, 1, 0]])


def width_by_height(pixels):
    """A wide picture squeezed into a square has steeper steps across than down."""
    across, down = steps(pixels, [[-1, 1]]), steps(pixels, [[-1], [1]])
    return keras.ops.log(across) - keras.ops.log(down)


def blocks(pixels):
    """The steps from one 8 x 8 block of a JPEG to the next, less those inside the blocks."""
    step = [0, 0, 0, -1, 1, 0, 0, 0]
    return steps(pixels[:, :, 4:-4], [step], (1, 8)) - steps(pixels, [step], (1, 8))


def network_of(measure, *, sign):
    """A network whose logit is one measure of the pixels, in [0, 1], times `sign`."""
    inputs = keras.Input((SIZE, SIZE, 1), dtype="uint8")
    value = measure(keras.layers.Rescaling(1 / 255)(inputs))
    weight = keras.initializers.Constant(sign)
    logit = keras.layers.Dense(1, kernel_initializer=weight, name="logit")(value)
    return keras.Model(inputs, keras.layers.Activation("sigmoid", name="score")(logit))


@pytest.mark.parametrize(
    "trap, measure, sign",
    # Pictures of train/NORMAL are narrower, sharper and brighter.
    [("shape", width_by_height, 1), ("sharpness", edges, -1), ("exposure", brightness, -1)],
)
def test_a_swap_names_the_trap_that_a_network_reads(tmp_path, trap, measure, sign):
    tree = make_tree(tmp_path / "tree", images=100, size=SIZE, traps=[trap])
    table = index.from_tree(tree / "chest_xray").query("split == 'train'")
    scored = swaps.rescore(network_of(measure, sign=sign), table, SQUARES, swaps.profiles(table))
    effects = swaps.effects(scored, resamples=0).set_index("cue")["value"]
    assert effects.index[0] == trap
    assert effects[trap] > 0.5
    assert effects.drop(trap).abs().max() < 0.25


def test_a_swap_names_compression_where_a_network_reads_it(tmp_path):
    rows = []
    for number in range(20):
        path = tmp_path / f"{number}.jpeg"
        pixels = radiograph(number, size=SIZE, aspect=1).pixels
        Image.fromarray(pixels).save(path, quality=(95, 5)[number % 2])
        rows.append((path, str(number), "train", number % 2))
    table = pd.DataFrame(rows, columns=["path", "patient", "split", "label"])
    scored = swaps.rescore(network_of(blocks, sign=1), table, SQUARES, swaps.profiles(table))
    effects = swaps.effects(scored, resamples=0).iloc[0]
    assert effects["cue"] == "compression"
    # Fine files take on the blocks of coarse ones; what those have lost does not come back.
    assert effects["class 0"] > 0.7
    assert abs(effects["class 1"]) < 0.05
