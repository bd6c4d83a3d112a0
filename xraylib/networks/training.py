"""Train a network with weighted classes, checkpoints and a resume after a kill.

`fit` takes any `keras.Model` of `models`, and batches of (pixels, labels) as
`keras.utils.PyDataset`s. It calls Keras only, so that it runs on every backend. Under the logger
of this module it logs one line an epoch; `progress.show_log` shows them.
"""

import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import pandas as pd
from tqdm import tqdm

from xraylib import backend, progress
from xraylib.backend import keras
from xraylib.evaluation import metrics
from xraylib.networks.checkpoint import HISTORY_COLUMNS, Checkpoint
from xraylib.networks.precision import Precision, choose

Schedule = Literal["constant", "cosine"]


# Of the weights' moving average: about the last 500 steps, or half of a shorter training.
_AVERAGING: Final = 0.998
_WEIGHT_DECAY: Final = 0.02

_log = logging.getLogger(__name__)


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
    schedule: Schedule = "constant",
) -> pd.DataFrame:
    """Trains a network and leaves it with the weights of its best epoch, see `metrics.best_epoch`.

    Classes are weighted so that NORMAL counts half, and all others together the other half. After
    every epoch the whole state is written to `folder`; called again with the same arguments after a
    kill, `fit` resumes from there and ends as it would have without the kill, bit for bit on the
    same machine.

    Args:
        model: Takes what `train` gives, and gives the probability of class 1, (batch, 1), or one
            probability a class, (batch, classes), of which class 0 is NORMAL.
        train: Batches of pixels and labels, (batch, 1): 0 for NORMAL, 1 and more for the others.
            Its `start_epoch`, where it has one, is called with 1, 2, ... as each epoch begins. A
            checkpoint made with another `seed`, `augment`, `batch_size` or `shuffle` is not
            resumed.
        validation: The same for choosing the epoch. In a fixed order.
        epochs: The most to train for, 1 or more.
        learning_rate: Of Adam (Kingma and Ba, ICLR 2015), above 0.
        folder: For the checkpoint; made if missing. One training a folder.
        precision: `"auto"`, `"float32"` or `"bfloat16"`; see `precision.choose`. Weights are
            float32 in any case.
        patience: Training ends after this many epochs without a better one.
        schedule: `"constant"`; or, for fine-tuning, `"cosine"`: the learning rate rises in the
            first epoch and then falls to 0 along a cosine (Loshchilov and Hutter, "SGDR", ICLR
            2017), weights decay as in AdamW (the same, ICLR 2019), and what is validated and left
            in the network is the moving average of the weights (Polyak and Juditsky, SIAM J.
            Control Optim. 1992) after the last epoch: no epoch is chosen.

    Returns:
        Two rows an epoch, one a split (`"train"`, measured while training, and `"validation"`),
        with the columns `HISTORY_COLUMNS`: epoch from 1, loss (cross-entropy, class-weighted in
        train and plain in validation), AUC, accuracy at .5, and the seconds spent.

    Raises:
        ValueError: An argument is out of range, or a split has one class only.
        FloatingPointError: The loss is no longer finite.
        OSError: The checkpoint cannot be written.
    """
    if schedule not in get_args(Schedule):
        raise ValueError(f'schedule must be "constant" or "cosine". Received: {schedule!r}')
    positive = {"epochs": epochs, "learning_rate": learning_rate, "patience": patience}
    for name, value in positive.items():
        if not value > 0:  # nor nan
            raise ValueError(f"{name} must be above 0. Received: {value}")
    class_weights = _class_weights(_labels(train), "train")
    _class_weights(_labels(validation), "validation")

    _compile(model, _optimizer(schedule, learning_rate, epochs, len(train)), precision)
    settings = {"epochs": epochs, "learning_rate": learning_rate, "train": _settings(train)}
    if schedule == "cosine":
        settings["schedule"] = schedule
        patience = epochs
    checkpoint = Checkpoint(model, Path(folder), settings)
    history = checkpoint.resume()
    done = int(history["epoch"].max()) if len(history) else 0

    if done < epochs and _epochs_since_best(history) < patience:
        with progress.bar(total=(epochs - done) * len(train), description="training") as bar:
            watch = _Watch(checkpoint, history, train, validation, patience=patience, bar=bar)
            model.fit(
                train,
                initial_epoch=done,
                epochs=epochs,
                class_weight=class_weights,
                callbacks=[watch],
                shuffle=False,  # `train` shuffles itself, the same way after a resume
                verbose=0,
            )
        history = watch.history
    checkpoint.restore_best()
    return history


def _optimizer(
    schedule: Schedule, learning_rate: float, epochs: int, steps: int
) -> keras.optimizers.Optimizer:
    backend.pin()
    # Clipping keeps the first steps of a deep network without normalization from diverging.
    if schedule == "constant":
        return keras.optimizers.Adam(learning_rate, global_clipnorm=1.0)
    averaging = max(0.0, min(_AVERAGING, 1 - 2 / (epochs * steps)))
    rates = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, (epochs - 1) * steps), warmup_target=learning_rate, warmup_steps=steps
    )
    optimizer = keras.optimizers.AdamW(
        rates, _WEIGHT_DECAY, global_clipnorm=1.0, use_ema=True, ema_momentum=averaging
    )
    optimizer.exclude_from_weight_decay(var_names=["beta", "gamma", "bias"])
    return optimizer


def _compile(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, precision: Precision
) -> None:
    computation, reason = choose(model, precision)
    _log.info(f"computing in {computation}: {reason}")
    computation.apply(model)
    several = model.output_shape[-1] > 1
    model.compile(
        optimizer=optimizer,
        loss="sparse_categorical_crossentropy" if several else "binary_crossentropy",
        metrics=[_AUC(name="auc"), _Accuracy(name="accuracy")],
        jit_compile=computation.jit_compile,
    )
    model.optimizer.build(model.trainable_variables)


class _AUC(keras.metrics.AUC):
    """The AUC of NORMAL against everything else, at 200 thresholds."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        super().update_state(*_two_classes(y_true, y_pred), sample_weight)


class _Accuracy(keras.metrics.BinaryAccuracy):
    """The accuracy at .5 of NORMAL against everything else."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        super().update_state(*_two_classes(y_true, y_pred), sample_weight)


def _two_classes(labels: Any, outputs: Any) -> tuple[Any, Any]:
    """Labels 0 or 1 and the probability of 1, (batch, 1) each, from those of several classes."""
    if outputs.shape[-1] == 1:
        return labels, outputs
    return keras.ops.cast(labels > 0, "float32"), 1 - outputs[:, :1]


class _Watch(keras.callbacks.Callback):
    """Validates after every epoch, writes the checkpoint and logs one line."""

    def __init__(
        self,
        checkpoint: "Checkpoint",
        history: pd.DataFrame,
        train: keras.utils.PyDataset,
        validation: keras.utils.PyDataset,
        *,
        patience: int,
        bar: tqdm,
    ) -> None:
        super().__init__()
        self.checkpoint, self.history, self.patience, self.bar = checkpoint, history, patience, bar
        self.train, self.validation = train, validation
        self.labels = (_labels(validation) > 0).astype(int)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        # Keras also calls the batches' `on_epoch_end` when it is given them, so that the order
        # would depend on what they were used for before.
        if hasattr(self.train, "start_epoch"):
            self.train.start_epoch(epoch + 1)
        self.started = time.perf_counter()
        self.bar.set_description(f"epoch {epoch + 1}/{self.params['epochs']}")

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
        ended = time.perf_counter()
        # From dicts, for a table joined to an empty one would lose its types.
        rows = [
            *self.history.to_dict("records"),
            {"epoch": epoch + 1, "split": "train", "seconds": trained - self.started, **train},
            {"epoch": epoch + 1, "split": "validation", "seconds": ended - trained, **validation},
        ]
        self.history = pd.DataFrame(rows, columns=list(HISTORY_COLUMNS))
        since_best = _epochs_since_best(self.history)
        # The best first: killed between the two, the epoch is trained again and is the best again.
        if since_best == 0 or self.model.optimizer.use_ema:
            with _averaged(self.model):
                self.checkpoint.write_best()
        self.checkpoint.write(self.history)

        _log.info(
            f"epoch {epoch + 1}/{self.params['epochs']}: "
            f"train loss {train['loss']:.3f}, AUC {train['auc']:.3f}; "
            f"validation loss {validation['loss']:.3f}, AUC {validation['auc']:.3f}"
            f"{' (best)' if since_best == 0 else ''}; {ended - self.started:.0f} s"
        )
        if since_best >= self.patience:
            _log.info(f"stopped: no better epoch in the last {self.patience}")
            self.model.stop_training = True

    def _validate(self) -> dict[str, float]:
        from sklearn.metrics import log_loss, roc_auc_score

        # Exact, where Keras' AUC counts at 200 thresholds, too few to tell .995 from .996.
        with _averaged(self.model):
            outputs = self.model.predict(self.validation, verbose=0).astype(float)
        scores = outputs[:, 0] if outputs.shape[1] == 1 else 1 - outputs[:, 0]
        if not np.isfinite(scores).all():
            raise FloatingPointError(
                "the network gives no finite scores: take a lower learning rate"
            )
        return {
            "loss": float(log_loss(self.labels, scores, labels=[0, 1])),
            "auc": float(roc_auc_score(self.labels, scores)),
            "accuracy": float(np.mean((scores >= 0.5) == self.labels)),
        }


def _epochs_since_best(history: pd.DataFrame) -> int:
    return int(history["epoch"].max()) - metrics.best_epoch(history) if len(history) else 0


def _labels(batches: keras.utils.PyDataset) -> np.ndarray:
    """The labels of all batches in order, int (n,)."""
    if hasattr(batches, "labels"):
        return np.asarray(batches.labels).astype(int).ravel()
    return np.concatenate([np.ravel(batches[i][1]) for i in range(len(batches))]).astype(int)


def _settings(batches: keras.utils.PyDataset) -> dict[str, str]:
    """What decides, besides the images, which batches come in which epoch."""
    names = ("seed", "augment", "batch_size", "shuffle")
    return {name: repr(getattr(batches, name)) for name in names if hasattr(batches, name)}


@contextlib.contextmanager
def _averaged(model: keras.Model) -> Iterator[None]:
    """Puts the moving average of the weights, if there is one, into the network for a while."""
    if not model.optimizer.use_ema:
        yield
        return
    trained = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_variables]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    for weight in model.trainable_variables:
        # In memory of its own: JAX gives that of the weights away, and the average with it.
        weight.assign(np.array(keras.ops.convert_to_numpy(weight)))
    try:
        yield
    finally:
        for weight, value in zip(model.trainable_variables, trained, strict=True):
            weight.assign(value)


def _class_weights(labels: np.ndarray, split: str) -> dict[int, float]:
    counts = np.bincount(labels, minlength=2)
    if not counts.all():
        raise ValueError(
            f"{split} has only one class: {counts[0]} images of class 0, {counts[1]} of class 1"
        )
    ill = counts[1:].sum()
    weights = {label: len(labels) / (2 * int(ill)) for label in range(1, len(counts))}
    return {0: len(labels) / (2 * int(counts[0])), **weights}
