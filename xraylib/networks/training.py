"""Training one network: class weights, checkpoints, resume -> history.

`fit` takes any `keras.Model` with one sigmoid output, and batches of (pixels, labels) as
`keras.utils.PyDataset`s. It calls Keras only, so that it runs on every backend.
"""

import json
import sys
import time
import zipfile
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import pandas as pd
from tqdm import tqdm

from xraylib import files, progress
from xraylib.networks.precision import Precision, choose

HISTORY_COLUMNS: Final = ("epoch", "split", "loss", "auc", "accuracy", "seconds")


def fit(
    model: keras.Model,
    train: keras.utils.PyDataset,
    validation: keras.utils.PyDataset,
    *,
    epochs: int,
    learning_rate: float,
    folder: Path | str,
    precision: Precision = "auto",
    patience: int = 10,
) -> pd.DataFrame:
    """Trains a network and leaves it with the weights of its best epoch.

    Classes are weighted so that each counts half. The best epoch is the one of the highest AUC on
    `validation`, of equal ones that of the lower loss. After every epoch the whole state is
    written to `folder`; called again with the same arguments after a kill, `fit` goes on from
    there and reaches what it would have reached without it.

    Args:
        model: Takes what `train` gives, and gives the probability of class 1, (batch, 1).
        train: Batches of pixels and labels, 0 or 1, (batch, 1). `start_epoch`, where it has one,
            is called with 1, 2, ... as each epoch begins. Its `seed`, `augment`, `batch_size` and
            `shuffle`, where it has them, are told from those before a kill by their `repr`.
        validation: The same for choosing the epoch. In a fixed order.
        epochs: The most to train for, 1 or more.
        learning_rate: Of Adam (Kingma and Ba, ICLR 2015), above 0.
        folder: For the checkpoint; made if missing. One training a folder.
        precision: As for `precision.choose`. Weights are float32 in any case.
        patience: Epochs without a better one after which training ends.

    Returns:
        Two rows an epoch, one a split (`"train"`, measured while training, and `"validation"`),
        with the columns `HISTORY_COLUMNS`: epoch from 1, loss (class-weighted cross-entropy in
        train, plain in validation), AUC, accuracy at .5, and the seconds spent.

    Raises:
        ValueError: An argument is out of range, or a split has one class only.
        FloatingPointError: The loss is no longer finite.
        OSError: The checkpoint cannot be written.
    """
    for name, value, valid in (
        ("epochs", epochs, epochs >= 1),
        ("learning_rate", learning_rate, learning_rate > 0),
        ("patience", patience, patience >= 1),
    ):
        if not valid:
            raise ValueError(f"{name} must be above 0. Received: {value}")
    weights = _class_weights(_labels(train), "train")
    _class_weights(_labels(validation), "validation")

    way, reason = choose(model, train, epochs=epochs, precision=precision)
    print(f"computing in {way}: {reason}", flush=True)
    # Clipping keeps the first steps of a deep network without normalization from throwing it off.
    way.set_up(
        model,
        optimizer=keras.optimizers.Adam(learning_rate, global_clipnorm=1.0),
        loss="binary_crossentropy",
        metrics=[keras.metrics.AUC(name="auc"), keras.metrics.BinaryAccuracy(name="accuracy")],
    )
    model.optimizer.build(model.trainable_variables)

    checkpoint = _Checkpoint(
        model,
        Path(folder),
        {"epochs": epochs, "learning_rate": learning_rate, "train": _made_of(train)},
    )
    history = checkpoint.resume()
    done = int(history["epoch"].max()) if len(history) else 0
    if done:
        print(f"resumed after epoch {done} from {checkpoint.last}", flush=True)
    if done < epochs and _epochs_since_best(history) < patience:
        with progress.bar(total=(epochs - done) * len(train), description="training") as bar:
            watch = _Watch(
                checkpoint, history, train, validation, bar, epochs=epochs, patience=patience
            )
            model.fit(
                train,
                initial_epoch=done,
                epochs=epochs,
                class_weight=weights,
                callbacks=[watch],
                shuffle=False,  # `train` shuffles itself, the same way after a resume
                verbose=0,
            )
        history = watch.history
    checkpoint.restore_best()
    return history


def best_epoch(history: pd.DataFrame) -> int:
    """The epoch whose weights a training ends with.

    It has the highest AUC on validation, of equal ones the lowest loss there, of equal ones again
    it is the first.

    Example:
        >>> columns = ["epoch", "split", "loss", "auc"]
        >>> rows = [[1, "validation", 0.5, 0.8], [2, "validation", 0.4, 0.8]]
        >>> best_epoch(pd.DataFrame(rows, columns=columns))
        2

    Args:
        history: As `fit` returns it, of at least one epoch.

    Returns:
        Its number, from 1.
    """
    validation = history[history["split"] == "validation"]
    ranked = validation.sort_values(["auc", "loss"], ascending=[False, True], kind="stable")
    return int(ranked["epoch"].iloc[0])


class _Watch(keras.callbacks.Callback):
    """Validates, keeps the best, writes the checkpoint and tells, after every epoch."""

    def __init__(
        self,
        checkpoint: "_Checkpoint",
        history: pd.DataFrame,
        train: keras.utils.PyDataset,
        validation: keras.utils.PyDataset,
        bar: tqdm,
        *,
        epochs: int,
        patience: int,
    ) -> None:
        super().__init__()
        self.bar = bar
        self.checkpoint = checkpoint
        self.history = history
        self.validation = validation
        self.labels = _labels(validation)
        self.epochs = epochs
        self.patience = patience
        self.train = train

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        # Keras calls `on_epoch_end` of the batches at other times, too, so that the order would
        # depend on what was done with them before.
        if hasattr(self.train, "start_epoch"):
            self.train.start_epoch(epoch + 1)
        self.started = time.perf_counter()
        self.bar.set_description(f"epoch {epoch + 1}/{self.epochs}")

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        assert logs is not None
        trained = time.perf_counter()
        train = {name: float(logs[name]) for name in ("loss", "auc", "accuracy")}
        if not np.isfinite(train["loss"]):
            raise FloatingPointError(
                f"the loss is {train['loss']} in epoch {epoch + 1}: take a lower learning rate"
            )
        validation = self._validate()
        rows = [
            {"epoch": epoch + 1, "split": "train", **train, "seconds": trained - self.started},
            {
                "epoch": epoch + 1,
                "split": "validation",
                **validation,
                "seconds": time.perf_counter() - trained,
            },
        ]
        # From the rows, for joined to an empty table the numbers would not be numbers any more.
        self.history = pd.DataFrame(
            [*self.history.to_dict("records"), *rows], columns=list(HISTORY_COLUMNS)
        )
        since_best = _epochs_since_best(self.history)
        self.checkpoint.write(self.history, best=since_best == 0)
        # Above the bar, where there is one.
        self.bar.write(
            f"epoch {epoch + 1}/{self.epochs}: train loss {train['loss']:.3f}, "
            f"AUC {train['auc']:.3f}; validation loss {validation['loss']:.3f}, "
            f"AUC {validation['auc']:.3f}{' (best)' if since_best == 0 else ''}; "
            f"{time.perf_counter() - self.started:.0f} s"
        )
        sys.stdout.flush()  # a log file is to show the epoch now
        if since_best >= self.patience:
            self.bar.write(f"stopped: no better epoch in the last {self.patience}")
            self.model.stop_training = True

    def _validate(self) -> dict[str, float]:
        from sklearn.metrics import log_loss, roc_auc_score

        # Exact, where Keras' AUC counts at 200 thresholds, too few to tell .995 from .996.
        scores = self.model.predict(self.validation, verbose=0).ravel().astype(float)
        if not np.isfinite(scores).all():
            raise FloatingPointError(
                "the network gives no finite scores: take a lower learning rate"
            )
        return {
            "loss": float(log_loss(self.labels, scores, labels=[0, 1])),
            "auc": float(roc_auc_score(self.labels, scores)),
            "accuracy": float(np.mean((scores >= 0.5) == self.labels)),
        }


class _Checkpoint:
    """The state of one training on disk: `last.npz` to go on from, `best.npz` to end with."""

    def __init__(self, model: keras.Model, folder: Path, settings: dict[str, Any]) -> None:
        self.model = model
        self.last = folder / "last.npz"
        self.best = folder / "best.npz"
        self.settings = settings
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, history: pd.DataFrame, *, best: bool) -> None:
        # The best first: killed between the two, the epoch is run again and is the best again.
        if best:
            self._save(self.best, self.model.variables)
        about = json.dumps({"settings": self.settings, "history": history.to_dict("records")})
        variables = [*self.model.variables, *self.model.optimizer.variables]
        self._save(self.last, variables, about=np.array(about))

    def resume(self) -> pd.DataFrame:
        empty = pd.DataFrame(columns=list(HISTORY_COLUMNS))
        if not self.last.exists():
            return empty
        variables = [*self.model.variables, *self.model.optimizer.variables]
        try:
            with self.last.open("rb") as file, np.load(file) as stored:
                about = json.loads(str(stored["about"]))
                settings, history = about["settings"], about["history"]
                values = [stored[f"arr_{number}"] for number in range(len(variables))]
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            settings, history, values = None, [], []
        same = len(values) == len(variables) and all(
            value.shape == tuple(variable.shape)
            for value, variable in zip(values, variables, strict=True)
        )
        if not same or settings != self.settings or not self.best.exists():
            print(f"{self.last} is of another training: starting anew", flush=True)
            return empty
        for value, variable in zip(values, variables, strict=True):
            variable.assign(value)
        return pd.DataFrame(history, columns=list(HISTORY_COLUMNS))

    def restore_best(self) -> None:
        with np.load(self.best) as stored:
            for number, variable in enumerate(self.model.variables):
                variable.assign(stored[f"arr_{number}"])

    @staticmethod
    def _save(path: Path, variables: list[Any], **more: Any) -> None:
        values = [keras.ops.convert_to_numpy(variable) for variable in variables]
        try:
            with files.whole(path) as unfinished, unfinished.open("wb") as file:
                np.savez(file, *values, **more)
        except OSError as error:
            raise OSError(
                error.errno,
                f"cannot write the checkpoint {path} ({error.strerror}): free some space; what was "
                "trained until the epoch before is kept, and a new run goes on from there",
            ) from None


def _epochs_since_best(history: pd.DataFrame) -> int:
    return int(history["epoch"].max()) - best_epoch(history) if len(history) else 0


def _labels(batches: keras.utils.PyDataset) -> np.ndarray:
    """The labels of all batches in order, int (n,)."""
    if hasattr(batches, "labels"):
        return np.asarray(batches.labels).astype(int).ravel()
    return np.concatenate([np.ravel(batches[i][1]) for i in range(len(batches))]).astype(int)


def _made_of(batches: keras.utils.PyDataset) -> dict[str, str]:
    """What decides, beside the images, which batches come in which epoch."""
    names = ("seed", "augment", "batch_size", "shuffle")
    return {name: repr(getattr(batches, name)) for name in names if hasattr(batches, name)}


def _class_weights(labels: np.ndarray, split: str) -> dict[int, float]:
    counts = np.bincount(labels, minlength=2)
    if not counts.all():
        raise ValueError(
            f"{split} has only one class: {counts[0]} images of class 0, {counts[1]} of class 1"
        )
    return {label: len(labels) / (2 * int(count)) for label, count in enumerate(counts)}
