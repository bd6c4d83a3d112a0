"""Training one network: way of computing, class weights, checkpoints, resume -> history.

`fit` takes any `keras.Model` with one sigmoid output, and batches of (pixels, labels) as
`keras.utils.PyDataset`s. It calls Keras only, so that it runs on every backend.
"""

import contextlib
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import keras
import numpy as np
import pandas as pd
from tqdm import tqdm

from xraylib import progress, records
from xraylib.data import sources

Precision = Literal["auto", "float32", "bfloat16"]

HISTORY_COLUMNS: Final = ("epoch", "split", "loss", "auc", "accuracy", "seconds")

# Multiplications a second of training: of a core, by VGG-19 at 224 px on two AVX2 cores, 19.5 G
# and 1.23 s an image; of a GPU, of the order of what a small one does. They only tell long work
# from short, by counting and not by the clock: what is tried must not differ between two runs.
_PER_CORE: Final = 8e9
_PER_GPU: Final = 5e12
# Estimated seconds of work from which a trial pays. Tracing a second step takes some seconds;
# TensorFlow's compiler takes about a minute for VGG-19 on two cores.
_LONG_FOR_BFLOAT16: Final = 20
_LONG_FOR_COMPILER: Final = 600
# Estimated seconds that one step of a trial takes, the least steps each way, and seconds after
# which there are no more. What is found is kept, and one step alone may be slow by chance.
_TRIAL_STEP: Final = 0.3
_TRIAL_STEPS: Final = 3
_TRIAL: Final = 1.0
# A gain below this is not told from chance on a machine that does other things as well.
_MARGIN: Final = 1.15


@dataclass(frozen=True)
class Computation:
    """A way to compute a network.

    Attributes:
        precision: Of everything but the last layer, which is float32 in any case. Weights are
            float32, too.
        compiled: Whether TensorFlow's compiler makes one program of the step on a processor. It
            pays for big networks only. On a GPU, and on other backends, Keras decides.
    """

    precision: str = "float32"
    compiled: bool = False

    def __str__(self) -> str:
        return f"{self.precision}, compiled" if self.compiled else self.precision

    @property
    def jit_compile(self) -> bool | str:
        """The argument of that name of `keras.Model.compile`."""
        return self.compiled if _compiler_is_ours() else "auto"

    def set_up(self, model: keras.Model, **options: Any) -> None:
        """Compiles a model for this way.

        Args:
            model: Its layers' policies are set; those of another model that shares them, too.
            **options: Of `keras.Model.compile`.
        """
        policy = "mixed_bfloat16" if self.precision == "bfloat16" else "float32"
        for layer in model._flatten_layers(include_self=False):
            # The last layers are float32 in any case: see models.
            if layer.name not in ("logit", "score"):
                layer.dtype_policy = policy
        model.compile(jit_compile=self.jit_compile, **options)


def choose_computation(
    model: keras.Model,
    batches: keras.utils.PyDataset,
    *,
    epochs: int | None,
    precision: Precision = "auto",
) -> tuple[Computation, str]:
    """How to compute a network on this machine, found by a trial where there is much to compute.

    The trial takes some of the network's own steps in float32, in bfloat16 where the GPU (compute
    capability 8.0) or the processor (AVX512-BF16 or AMX) computes in it, and, on a processor,
    through TensorFlow's compiler where work of ten minutes or more is ahead. Another way than
    plain float32 is taken where it is faster by 15 % or more. What was measured is kept in the
    cache folder and decides every later time, so that two runs on one machine compute alike; where
    it cannot be kept, it is measured each time. Work of less than about 20 s is not worth a trial.

    Args:
        model: Functional. It is left with its weights and states as they were, and uncompiled if
            it was.
        batches: Of pixels and labels, as for `fit`.
        epochs: How many to train for; None where every batch is only scored, once.
        precision: `"auto"`, or what to take in any case.

    Returns:
        The way, and the reason in a few words.

    Raises:
        ValueError: `precision` is unknown.
    """
    if precision not in get_args(Precision):
        raise ValueError(
            f'precision must be "auto", "float32" or "bfloat16". Received: {precision!r}'
        )
    pixels, labels = batches[0]
    # A step forward and backward is three times one forward.
    share = epochs if epochs is not None else 1 / 3
    an_image = _multiplications(model) / (_PER_GPU if _gpus() else _PER_CORE * _cores())
    ways, reason = _ways(precision, an_image * share * len(batches) * len(pixels))
    if len(ways) == 1:
        return ways[0], reason
    count = int(np.clip(_TRIAL_STEP / an_image, 1, len(pixels)))
    versions = records.versions()
    about = {
        "machine": records.device(),
        "versions": {name: versions[name] for name in ("keras", keras.backend.backend())},
        "network": f"{model.name}, {model.input_shape[1:]}, {model.count_params():,} weights, "
        f"{sum(int(np.prod(weight.shape)) for weight in model.trainable_weights):,} trained",
        "step": f"{'scores' if epochs is None else 'trains on'} {count} of {len(pixels)} images",
        "ways": [str(way) for way in ways],
    }
    seconds = _remembered(about)
    if seconds is None:
        found = _measured(model, ways, pixels[:count], None if epochs is None else labels[:count])
        seconds = _remember(about, {str(way): taken for way, taken in found.items()})
    plain, best = ways[0], min(ways, key=lambda way: seconds[str(way)])
    if seconds[str(best)] * _MARGIN > seconds[str(plain)]:
        best = plain
    told = " and ".join(f"{seconds[str(way)]:.2g} s in {way}" for way in ways)
    return best, f"a step of {count} took {told}"


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
            is called with 1, 2, ... as each epoch begins.
        validation: The same for choosing the epoch. In a fixed order.
        epochs: The most to train for, 1 or more.
        learning_rate: Of Adam (Kingma and Ba, ICLR 2015), above 0.
        folder: For the checkpoint; made if missing. One training a folder.
        precision: As for `choose_computation`. Weights are float32 in any case.
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

    way, reason = choose_computation(model, train, epochs=epochs, precision=precision)
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
        model, Path(folder), {"epochs": epochs, "learning_rate": learning_rate}
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
        half_written = path.with_suffix(".writing")
        try:
            with half_written.open("wb") as file:
                np.savez(file, *[keras.ops.convert_to_numpy(v) for v in variables], **more)
            half_written.replace(path)
        except OSError as error:
            half_written.unlink(missing_ok=True)
            raise OSError(
                error.errno,
                f"cannot write the checkpoint {path} ({error.strerror}): free some space; what was "
                "trained until the epoch before is kept, and a new run goes on from there",
            ) from None


def _epochs_since_best(history: pd.DataFrame) -> int:
    validation = history[history["split"] == "validation"]
    if validation.empty:
        return 0
    ranked = validation.sort_values(["auc", "loss"], ascending=[False, True], kind="stable")
    return int(validation["epoch"].max() - ranked["epoch"].iloc[0])


def _labels(batches: keras.utils.PyDataset) -> np.ndarray:
    """The labels of all batches in order, int (n,)."""
    if hasattr(batches, "labels"):
        return np.asarray(batches.labels).astype(int).ravel()
    return np.concatenate([np.ravel(batches[i][1]) for i in range(len(batches))]).astype(int)


def _class_weights(labels: np.ndarray, split: str) -> dict[int, float]:
    counts = np.bincount(labels, minlength=2)
    if not counts.all():
        raise ValueError(
            f"{split} has only one class: {counts[0]} images of class 0, {counts[1]} of class 1"
        )
    return {label: len(labels) / (2 * int(count)) for label, count in enumerate(counts)}


def _ways(precision: Precision, seconds: float) -> tuple[list[Computation], str]:
    """The ways worth a trial, the plain one first, and the reason where there is only one."""
    reason = "as asked for"
    ways = [Computation("float32" if precision == "auto" else precision)]
    if precision == "auto":
        native, reason = _native_bfloat16()
        if native and seconds >= _LONG_FOR_BFLOAT16:
            ways.append(Computation("bfloat16"))
        elif native:
            reason = "too little work for a trial of bfloat16"
    if _compiler_is_ours() and seconds >= _LONG_FOR_COMPILER:
        ways.append(Computation(ways[0].precision, compiled=True))
    return ways, reason


def _native_bfloat16() -> tuple[bool, str]:
    """Whether this machine computes in bfloat16; elsewhere it is slower, and not tried."""
    if _gpus():
        capability = _gpu_capability()
        return capability >= 8, f"the GPU has compute capability {capability}, bfloat16 needs 8.0"
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        flags = set()
    native = bool(flags & {"avx512_bf16", "amx_bf16"})
    return native, "the processor is not known to compute in bfloat16"


def _measured(
    model: keras.Model, ways: list[Computation], pixels: np.ndarray, labels: np.ndarray | None
) -> dict[Computation, float]:
    """Seconds of a step each way, the least of a few; endless where it cannot be computed so.

    The ways take turns, so that what else the machine does meets all of them.
    """
    # Copies, for a backend may write a new value where the old one was.
    before = [np.array(keras.ops.convert_to_numpy(variable)) for variable in model.variables]
    times: dict[Computation, list[float]] = {way: [] for way in ways}
    steps: dict[Computation, Callable[[], object]] = {}
    try:
        for way in progress.bar(ways, total=len(ways), description="choosing a precision"):
            try:
                steps[way] = _step(model, way, pixels, labels)
            except Exception:
                # Compilers raise what they like. Where the plain way fails, training will tell.
                times[way].append(float("inf"))
        started, rounds = time.perf_counter(), 0
        while steps and (rounds < _TRIAL_STEPS or time.perf_counter() - started < _TRIAL):
            rounds += 1
            for way, step in steps.items():
                begun = time.perf_counter()
                step()
                times[way].append(time.perf_counter() - begun)
    finally:
        for value, variable in zip(before, model.variables, strict=True):
            variable.assign(value)
    return {way: min(taken) for way, taken in times.items()}


def _step(
    model: keras.Model, way: Computation, pixels: np.ndarray, labels: np.ndarray | None
) -> Callable[[], object]:
    """A step that is ready to be timed, for it was taken once."""
    # Another model of the same layers: each keeps the program that it was traced to.
    trial = keras.Model(model.input, model.output, name=model.name)
    step: Callable[[], object]
    if labels is None:
        way.set_up(trial)
        step = functools.partial(trial.predict_on_batch, pixels)
    else:
        optimizer = keras.optimizers.Adam(1e-6, global_clipnorm=1.0)
        way.set_up(trial, optimizer=optimizer, loss="binary_crossentropy")
        step = functools.partial(trial.train_on_batch, pixels, labels)
    step()
    return step


def _remembered(about: dict[str, Any]) -> dict[str, float] | None:
    """What was measured before, or None where that is not to be had."""
    try:
        stored = json.loads(_memory(about).read_text(encoding="utf-8"))
        seconds = {name: float(stored["seconds"][name]) for name in about["ways"]}
    except (OSError, ValueError, KeyError, TypeError, sources.DataSourceError):
        return None
    return seconds if all(taken > 0 for taken in seconds.values()) else None


def _remember(about: dict[str, Any], seconds: dict[str, float]) -> dict[str, float]:
    """Writes what was measured; returns what is to be taken for it."""
    with contextlib.suppress(OSError, sources.DataSourceError):
        path = _memory(about)
        if (earlier := _remembered(about)) is not None:
            return earlier  # another process was at the same, and both are to compute alike
        path.parent.mkdir(exist_ok=True)
        half_written = path.with_name(f".{path.name}-{os.getpid()}")
        half_written.write_text(json.dumps(about | {"seconds": seconds}, indent=1) + "\n")
        half_written.replace(path)
    return seconds


def _memory(about: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    return sources.cache_folder() / "precision" / f"{digest}.json"


def _compiler_is_ours() -> bool:
    """Whether to say if the step is compiled: on a processor with TensorFlow.

    Measured on two AVX2 cores, seconds an image of a training step without and with it: basic_cnn
    at 224 px (.4 G multiplications) .039 and .124; vgg19 at 224 px (19.5 G) 1.23 and .81.
    """
    return keras.backend.backend() == "tensorflow" and not _gpus()


def _cores() -> int:
    return os.cpu_count() or 1


def _multiplications(model: keras.Model) -> float:
    """Of all convolutions, for one image."""
    return sum(
        float(np.prod(layer.kernel.shape)) * float(np.prod(layer.output.shape[1:3]))
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.Conv2D)
    )


def _gpus() -> list[str]:
    # Asked for GPUs only, JAX raises where there are none.
    return [name for name in keras.distribution.list_devices() if name.startswith("gpu")]


def _gpu_capability() -> float:
    if shutil.which("nvidia-smi") is None:
        return 0.0
    asked = subprocess.run(
        ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return min(float(line) for line in asked.stdout.split())
    except ValueError:
        return 0.0
