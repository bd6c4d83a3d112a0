import errno
import re
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from support import jax
from support.trainings import (
    EPOCHS,
    Killed,
    assert_same,
    batches,
    computes_bfloat16,
    kill_at_batch,
    network,
    train,
)

from xraylib.data.augmentation import Augmentation
from xraylib.data.loading import Batches
from xraylib.evaluation import metrics
from xraylib.networks import training
from xraylib.networks.training import HISTORY_COLUMNS, fit

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return train(tmp_path_factory.mktemp("uninterrupted"))


def scripted(monkeypatch, results):
    """Validation gives these (AUC, loss) in turn; returns the weights of each epoch so far."""
    weights = []

    def validate(watch):
        weights.append(watch.model.get_weights())
        auc, loss = results[len(weights) - 1]
        return {"loss": loss, "auc": auc, "accuracy": 0.5}

    monkeypatch.setattr(training._Watch, "_validate", validate)
    return weights


# ------------------------------------------------------------------ history


def test_history_has_two_rows_an_epoch(uninterrupted):
    history = uninterrupted.history
    assert tuple(history) == HISTORY_COLUMNS
    assert history["epoch"].tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert history["split"].tolist() == ["train", "validation"] * EPOCHS
    assert history["epoch"].dtype == int
    for column in ("loss", "auc", "accuracy", "seconds"):
        assert history[column].dtype == float
    assert history[["auc", "accuracy"]].stack().between(0, 1).all()
    assert (history["seconds"] > 0).all()


def test_the_network_is_left_at_its_best_epoch(uninterrupted):
    from sklearn.metrics import roc_auc_score

    validation = batches(17)
    scores = uninterrupted.model.predict(validation, verbose=0).ravel()
    auc = roc_auc_score(validation.labels, scores)
    by_epoch = uninterrupted.history.query("split == 'validation'")["auc"]
    assert auc == pytest.approx(by_epoch.max(), abs=1e-12)
    assert by_epoch.nunique() > 1


def test_one_line_an_epoch_is_logged(uninterrupted):
    first, *lines = uninterrupted.log
    assert first == "computing in float32: as requested"
    rows = uninterrupted.history.groupby("epoch")
    for line, (epoch, row) in zip(lines, rows, strict=True):
        (train_loss, loss), (train_auc, auc) = row["loss"], row["auc"]
        numbers = (
            f"train loss {train_loss:.3f}, AUC {train_auc:.3f}; "
            f"validation loss {loss:.3f}, AUC {auc:.3f}"
        )
        assert re.fullmatch(rf"epoch {epoch}/5: {numbers}( \(best\))?; \d+ s", line)


def test_nothing_is_printed(tmp_path, capfd):
    settings = {"epochs": 1, "learning_rate": 0.1, "precision": "float32"}
    fit(network(), batches(8), batches(8), folder=tmp_path, **settings)
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""


def test_loss_and_accuracy_by_hand(tmp_path):
    # Always .75: -log(.75) is .2877 for class 1, -log(.25) is 1.3863 for class 0. In train, where
    # each class counts half, that is their mean, in validation the mean over the images.
    model = network()
    model.get_layer("logit").set_weights([np.zeros((4, 1)), np.log([3])])
    history = fit(
        model,
        batches(16, positives=12, batch_size=16),
        batches(8, positives=6),
        epochs=1,
        learning_rate=1e-12,
        folder=tmp_path,
        precision="float32",
    )
    ones, zeros = -np.log(0.75), -np.log(0.25)
    assert history["loss"].tolist() == pytest.approx([(ones + zeros) / 2, (3 * ones + zeros) / 4])
    assert history["accuracy"].tolist() == [0.75, 0.75]
    assert history["auc"].tolist() == [0.5, 0.5]


def test_labels_of_batches_that_do_not_list_them():
    class Plain(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, batch):
            return np.zeros((2, 8, 8, 1), np.uint8), np.array([[batch], [1.0]])

    assert training._labels(Plain()).tolist() == [0, 1, 1, 1]


def test_the_same_seed_gives_the_same_numbers(uninterrupted, tmp_path):
    assert_same(train(tmp_path), uninterrupted)


def test_batches_that_were_used_before_give_the_same_numbers(uninterrupted, tmp_path):
    used = batches(32, shuffle=True)
    model = network()
    settings = {"epochs": EPOCHS, "learning_rate": 0.03, "precision": "float32"}
    fit(network(), used, batches(17), folder=tmp_path / "before", **settings)
    history = fit(model, used, batches(17), folder=tmp_path / "again", **settings)
    assert_same(SimpleNamespace(model=model, history=history), uninterrupted)


# ------------------------------------------------------------------ the best epoch


@pytest.mark.parametrize(
    ("results", "patience", "best", "last"),
    [
        ([(0.6, 0.5), (0.8, 0.5), (0.7, 0.1), (0.7, 0.1), (0.9, 0.1)], 2, 2, 4),
        ([(0.6, 0.5), (0.8, 0.5), (0.7, 0.1), (0.7, 0.1), (0.9, 0.1)], 3, 5, 5),
        ([(0.8, 0.5), (0.8, 0.4), (0.8, 0.4), (0.8, 0.45), (0.9, 0.1)], 2, 2, 4),
    ],
)
def test_training_ends_after_patience_and_keeps_the_best(
    tmp_path, monkeypatch, results, patience, best, last
):
    weights = scripted(monkeypatch, results)
    run = train(tmp_path, patience=patience)
    assert run.history["epoch"].max() == last == len(weights)
    for weight, expected in zip(run.model.get_weights(), weights[best - 1], strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert metrics.best_epoch(run.history) == best
    assert [line for line in run.log if "(best)" in line][-1].startswith(f"epoch {best}/5")
    stopped = f"stopped: no better epoch in the last {patience}" in run.log
    assert stopped == (last < EPOCHS)

    # Asked for again, nothing is trained that patience has ended.
    monkeypatch.undo()
    again = train(tmp_path, patience=patience)
    assert_same(again, run)
    assert len(again.log) == 2


# ------------------------------------------------------------------ killed and resumed


def kill_at_file(monkeypatch, name, number):
    """... or when it is about to write this file for the `number`th time."""
    save, seen = training.Checkpoint._save, 0

    def until_killed(path, *contents):
        nonlocal seen
        seen += path.name == name
        if seen == number and path.name == name:
            raise Killed
        save(path, *contents)

    monkeypatch.setattr(training.Checkpoint, "_save", staticmethod(until_killed))


@pytest.mark.parametrize(
    ("kill", "done"),
    [
        (lambda patch: kill_at_batch(patch, 2 * 4 + 2), 2),
        (lambda patch: kill_at_batch(patch, 1), 0),
        (lambda patch: kill_at_file(patch, "last.npz", 2), 1),
    ],
    ids=["in epoch 3", "in epoch 1", "between the best and the last of epoch 2"],
)
def test_killed_and_resumed_is_uninterrupted(uninterrupted, tmp_path, monkeypatch, kill, done):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill(patch)
        train(tmp_path)
    resumed = train(tmp_path)
    log = "\n".join(resumed.log)
    assert (f"resumed after epoch {done} from {tmp_path}" in log) == (done > 0)
    assert f"epoch {done}/5:" not in log
    assert f"epoch {done + 1}/5:" in log
    assert_same(resumed, uninterrupted)


def test_killed_twice(uninterrupted, tmp_path, monkeypatch):
    for number in (5, 6):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_at_batch(patch, number)
            train(tmp_path)
    assert_same(train(tmp_path), uninterrupted)


def test_what_is_finished_is_not_trained_again(uninterrupted):
    again = train(uninterrupted.folder, model=network(seed=3))
    assert_same(again, uninterrupted)
    assert again.log[1:] == [f"resumed after epoch 5 from {again.folder / 'last.npz'}"]


def test_resumed_on_another_backend_is_uninterrupted(tmp_path):
    code = """
from pathlib import Path
import pytest
from support import trainings as here
folder = Path(sys.argv[1])
with pytest.MonkeyPatch.context() as patch, pytest.raises(here.Killed):
    here.kill_at_batch(patch, 6)
    here.train(folder / "killed", epochs=3)
resumed = here.train(folder / "killed", epochs=3)
assert resumed.log[1].startswith("resumed after epoch 1")
here.assert_same(resumed, here.train(folder / "uninterrupted", epochs=3))
print(here.keras.backend.backend())
"""
    assert jax.run(code, tmp_path) == ["jax"]


# ------------------------------------------------------------------ checkpoints that do not fit


def garbage(path):
    path.write_bytes(b"garbage" * 100)


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 255
    path.write_bytes(content)


def foreign(path):
    with path.open("wb") as file:
        np.savez(file, np.zeros(3))


def without_best(path):
    path.with_name("best.npz").unlink()


@pytest.fixture
def copied(uninterrupted, tmp_path):
    for name in ("last.npz", "best.npz"):
        (tmp_path / name).write_bytes((uninterrupted.folder / name).read_bytes())
    return tmp_path


@pytest.mark.parametrize("harm", [garbage, half, empty, flipped, foreign, without_best])
def test_a_broken_checkpoint_is_not_resumed(copied, uninterrupted, harm):
    harm(copied / "last.npz")
    run = train(copied)
    assert run.log[1] == f"{copied / 'last.npz'} belongs to another training: starting anew"
    assert_same(run, uninterrupted)


def assert_starts_anew(run):
    assert "belongs to another training: starting anew" in run.log[1]
    assert run.log[2].startswith("epoch 1/")


@pytest.mark.parametrize("other", [{"epochs": 6}, {"learning_rate": 0.01}])
def test_a_checkpoint_of_other_settings_is_not_resumed(copied, other):
    assert_starts_anew(train(copied, **other))


@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"augment": Augmentation(noise=20)}, {"batch_size": 16}, {"shuffle": False}],
)
def test_a_checkpoint_of_other_batches_is_not_resumed(copied, other):
    assert_starts_anew(train(copied, data=batches(32, **{"shuffle": True} | other)))


def test_a_checkpoint_of_another_network_is_not_resumed(copied):
    assert_starts_anew(train(copied, model=network(units=3)))


def test_a_full_disk_keeps_the_epoch_before(uninterrupted, tmp_path, monkeypatch):
    save, seen = np.savez, []

    def until_full(file, *arrays, about):
        seen.append(bool(str(about)))
        if sum(seen) == 2:
            file.write(b"PK")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(file, *arrays, about=about)

    message = r"cannot write the checkpoint .*last.npz \(No space left on device\): free some space"
    with monkeypatch.context() as patch, pytest.raises(OSError, match=message) as raised:
        patch.setattr(training.np, "savez", until_full)
        train(tmp_path)
    assert raised.value.errno == errno.ENOSPC
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.npz", "last.npz"]
    resumed = train(tmp_path)
    assert resumed.log[1].startswith("resumed after epoch 1")
    assert_same(resumed, uninterrupted)


# ------------------------------------------------------------------ precision


@computes_bfloat16
def test_bfloat16_computes_in_bfloat16_and_keeps_float32(tmp_path):
    run = train(tmp_path, epochs=1, precision="bfloat16")
    model, pixels = run.model, batches(8)[0][0]
    hidden = model.get_layer("dense")(np.ones((1, 64), np.float32))
    assert keras.backend.standardize_dtype(hidden.dtype) == "bfloat16"
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    assert model.predict_on_batch(pixels).dtype == np.float32
    assert np.isfinite(run.history["loss"]).all()


# ------------------------------------------------------------------ fine-tuning

SEVERAL = {"schedule": "cosine", "precision": "float32", "learning_rate": 0.03, "epochs": 3}


def of_three_kinds(count, **more):
    labels = np.arange(count) % 3
    pixels = np.random.default_rng(count).integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    return Batches(
        pixels // (labels + 1)[:, None, None, None].astype(np.uint8),
        labels,
        np.arange(count),
        batch_size=8,
        **more,
    )


def fine_tune(folder, **more):
    model = network(classes=3)
    data = of_three_kinds(32, shuffle=True)
    history = fit(model, data, of_three_kinds(18), folder=folder, **SEVERAL | more)
    return SimpleNamespace(model=model, history=history, folder=folder)


def test_fine_tuning_ends_with_the_average_of_the_weights_in_the_last_epoch(tmp_path):
    run = fine_tune(tmp_path)
    optimizer = run.model.optimizer
    averages = [average.numpy() for average in optimizer._model_variables_moving_average]
    for weight, average in zip(run.model.trainable_variables, averages, strict=True):
        np.testing.assert_array_equal(weight.numpy(), average)
    with np.load(tmp_path / "last.npz") as last:
        assert not np.array_equal(last["arr_0"], averages[0])  # where the training stood
    scores = run.model.predict(of_three_kinds(18), verbose=0)
    right = np.mean((1 - scores[:, 0] >= 0.5) == (of_three_kinds(18).labels > 0))
    assert run.history.query("split == 'validation'")["accuracy"].iloc[-1] == pytest.approx(right)


def test_the_rate_rises_for_an_epoch_and_falls_to_nothing(tmp_path):
    run = fine_tune(tmp_path)
    rates = [float(run.model.optimizer._learning_rate(step)) for step in (0, 2, 4, 8, 12)]
    assert rates == pytest.approx([0, 0.015, 0.03, 0.015, 0])


def test_fine_tuning_killed_and_resumed_is_uninterrupted(tmp_path, monkeypatch):
    expected = fine_tune(tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at_batch(patch, 4 + 2)
        fine_tune(tmp_path / "killed")
    assert_same(fine_tune(tmp_path / "killed"), expected)


def test_unknown_schedule(tmp_path):
    with pytest.raises(ValueError, match=r'must be "constant" or "cosine"\. Received: \'linear\''):
        fine_tune(tmp_path, schedule="linear")


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"epochs": -1}, {"learning_rate": 0}, {"learning_rate": -1}, {"patience": 0}],
)
def test_settings_out_of_range(tmp_path, wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{name} must be above 0. Received: {value}"):
        train(tmp_path, **wrong)


@pytest.mark.parametrize(
    ("positives", "message"),
    [
        ((0, 4), "train has only one class: 8 images of class 0, 0 of class 1"),
        ((4, 8), "validation has only one class: 0 images of class 0, 8 of class 1"),
    ],
)
def test_one_class(tmp_path, positives, message):
    of_train, of_validation = (batches(8, positives=count) for count in positives)
    with pytest.raises(ValueError, match=message):
        fit(network(), of_train, of_validation, epochs=1, learning_rate=0.1, folder=tmp_path)


@pytest.mark.parametrize(
    ("batch_size", "message"),
    [(8, "the loss is nan in epoch 1"), (32, "the network gives no finite scores")],
)
def test_a_training_that_blows_up(tmp_path, batch_size, message):
    # Of one batch an epoch the loss is still that of the first weights.
    data = batches(32, batch_size=batch_size)
    with pytest.raises(FloatingPointError, match=f"^{message}: take a lower learning rate$"):
        train(tmp_path, data=data, learning_rate=np.inf)
    assert not list(tmp_path.iterdir())
