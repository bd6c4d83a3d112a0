"""Classify radiographs with a packed network, by ONNX Runtime: without Keras or TensorFlow.

For education; not a medical device.

The *probability* is the network's after calibration, right where PNEUMONIA is as frequent as the
prevalence says. With another prevalence all probabilities move (Saerens, Latinne and Decaestecker,
Neural Computation 2002), and the threshold with them, so that no decision changes: it is the same
point between sensitivity and specificity.
"""

import collections
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from xraylib import errors
from xraylib.data import depth, plausibility, reading
from xraylib.evaluation import refusal
from xraylib.explain import gradcam
from xraylib.networks import packed

if TYPE_CHECKING:
    import pandas as pd

REFER: Final = "refer"
COLUMNS: Final = ("path", "probability", "decision", "threshold", "reason")
# Of the detectors, by the first word of their names.
_REASONS: Final = {
    "near": "too near the threshold to decide",
    "look": "bright and dark where no film of the training is",
    "early": "of another texture than the films of the training",
    "late": "unlike the films of the training",
}
_INVERTED: Final = "its greys run against those of a chest film: inverted, turned, or no chest"

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of one file.

    Attributes:
        path: As it was given.
        probability: Of the second class, in [0, 1]; None where the file cannot be read or can be no
            chest radiograph, for then a number would mean nothing.
        decision: The name of a class, `"refer"` where a person has to look, or empty where the file
            cannot be read.
        threshold: Probabilities of at least this are called by the second class.
        reason: Why it was referred or not read; else empty.
    """

    path: str
    probability: float | None
    decision: str
    threshold: float
    reason: str


def load(path: Path | str | None = None, *, bits: packed.Bits = "float") -> "Classifier":
    """Load a packed classifier.

    Args:
        path: Its folder, as `networks.packing.pack` writes it; None for the one in the box.
        bits: `"float"`, or `"int8"`: faster where the processor has instructions for it, and off by
            what `description.measured` says.

    Raises:
        ClassifierError: It is missing, damaged, changed, or takes or gives something else.
    """
    return Classifier(path, bits=bits)


class Classifier:
    """A packed network that is ready to be asked.

    Attributes:
        description: What it says of itself.
        size: Height and width of the squares that it takes, in pixels.

    Raises:
        ClassifierError: As of `load`.
    """

    def __init__(self, path: Path | str | None = None, *, bits: packed.Bits = "float") -> None:
        self.description = packed.read(path)
        self.size = self.description.preparation.image_size
        self._session = _session(packed.content(path, packed.ONNX[bits], self.description))
        self._detectors = refusal.load(packed.content(path, packed.REFUSAL, self.description))
        self._outputs = ["logit", *(set(self._detectors.regions) - {"look"})]
        _check(self._session, self.size, self._outputs)

    def predict(
        self,
        paths: Iterable[Path | str],
        *,
        prevalence: float | None = None,
        refer: float | None = None,
        batch_size: int = 16,
    ) -> Iterator[Prediction]:
        """Classify files, one after the other, in the order of their paths.

        Files are read by several threads ahead of the network, a few batches at most, so that
        memory does not grow with their number.

        Args:
            paths: Files of any format that `data.reading` reads.
            prevalence: The share of the second class among those X-rayed, in (0, 1); None for that
                of the images on which the classifier was calibrated.
            refer: The share of validation, in [0, 1), that would be referred for being unusual or
                near the threshold; None for that of the description. 0 refers only what can be no
                chest radiograph.
            batch_size: Images that the network gets at a time.

        Returns:
            One prediction a path. A file that cannot be read is one with a reason.

        Raises:
            ValueError: An argument is out of its range.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more. Received: {batch_size}")
        shift, threshold = self._shift(prevalence), self.threshold(prevalence)
        limit = self._detectors.limit(self.description.refer if refer is None else refer)
        return self._predictions(paths, shift, threshold, limit, batch_size)

    def threshold(self, prevalence: float | None = None) -> float:
        """The probability from which on a file is called by the second class.

        Args:
            prevalence: As of `predict`.
        """
        return float(_expit(_logit(self.description.threshold) + self._shift(prevalence)))

    def _shift(self, prevalence: float | None) -> float:
        """By how much a prevalence moves all logits."""
        if prevalence is None:
            return 0.0
        if not 0 < prevalence < 1:
            raise ValueError(f"prevalence must be between 0 and 1. Received: {prevalence}")
        return _logit(prevalence) - _logit(self.description.prevalence)

    def table(self, paths: Iterable[Path | str], **options: Any) -> "pd.DataFrame":
        """Classify files as `predict` does: a row each, with the columns `COLUMNS`."""
        import pandas as pd

        rows = [vars(prediction) for prediction in self.predict(paths, **options)]
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def logits(self, squares: np.ndarray) -> np.ndarray:
        """The logit of the second class before calibration, float64 (n,).

        Args:
            squares: Grey uint8 (n, size, size), prepared as `description.preparation` says.
        """
        (logits,) = self._session.run(["logit"], {"pixels": squares[..., np.newaxis]})
        return np.asarray(logits, float).ravel()

    def heatmaps(self, squares: np.ndarray) -> np.ndarray:
        """Draw where the network finds evidence for the second class, from its class activation.

        Whether a map may be believed is another question: see `explain.faithfulness`.

        Args:
            squares: As of `logits`.

        Returns:
            float32 (n, size, size) in [0, 1], scaled as `explain.gradcam.heatmap` scales them: 1 is
            the strongest evidence in the image, for or against the class, and evidence against it
            is 0.

        Raises:
            ClassifierError: The network was packed without such maps.
        """
        if "cam" not in [each.name for each in self._session.get_outputs()]:
            raise errors.ClassifierError(
                'the network has no output cam: pack one whose layer "logit" takes an "average"'
            )
        (evidence,) = self._session.run(["cam"], {"pixels": squares[..., np.newaxis]})
        maps = gradcam.scaled(evidence[..., 0], -evidence[..., 0])
        return gradcam.enlarged(maps, self.size)

    def _predictions(
        self,
        paths: Iterable[Path | str],
        shift: float,
        threshold: float,
        limit: float,
        batch_size: int,
    ) -> Iterator[Prediction]:
        batch: list[_Read] = []
        for file in _ahead(self._read, paths, more=batch_size):
            batch.append(file)
            if len(batch) == batch_size:
                yield from self._decided(batch, shift, threshold, limit)
                batch = []
        yield from self._decided(batch, shift, threshold, limit)

    def _read(self, path: Path | str) -> "_Read":
        try:
            film = reading.film(path, bits=self.description.preparation.depth)
        except errors.UnreadableImage as error:
            return _Read(str(path), None, str(error).removeprefix(f"{path} "))
        except MemoryError:
            return _Read(str(path), None, "needs more memory than there is")
        square = self.description.preparation.square(film.pixels)
        problem = plausibility.problem(film.pixels, coloured=film.coloured)
        if self.description.preparation.depth is None and 0 < film.largest < depth.SUSPECT:
            problem = f"16 bits a pixel but no value above {film.largest:,}: save it in all of them"
        return _Read(str(path), square, problem)

    def _decided(
        self, batch: list["_Read"], shift: float, threshold: float, limit: float
    ) -> Iterator[Prediction]:
        """The predictions of some files: those that can be radiographs are put to the network."""
        squares = [file.square for file in batch if file.square is not None and not file.problem]
        judged = iter(self._judged(np.stack(squares), limit) if squares else ())
        for file in batch:
            if file.square is None:
                yield Prediction(file.path, None, "", threshold, file.problem)
            elif file.problem:
                yield Prediction(file.path, None, REFER, threshold, file.problem)
            else:
                logit, reason = next(judged)
                probability = float(_expit(logit + shift))
                # Of the logits, for rounding may put two probabilities on one side.
                second = logit >= _logit(self.description.threshold)
                decision = REFER if reason else self.description.classes[int(second)]
                yield Prediction(file.path, probability, decision, threshold, reason)

    def _judged(self, squares: np.ndarray, limit: float) -> list[tuple[float, str]]:
        """The calibrated logit of each square, and why it is referred, or nothing."""
        values = self._session.run(self._outputs, {"pixels": squares[..., np.newaxis]})
        features = dict(zip(self._outputs, values, strict=True))
        logits = features.pop("logit").ravel().astype(float) / self.description.temperature
        looks = np.stack([plausibility.thumbnail(square) for square in squares])
        features = {"look": looks, **features}
        near = refusal.nearness(logits, self.description.threshold)
        ranks = self._detectors.ranks(features, {"near": near})
        strangeness, names = self._detectors.strangest(ranks)
        against = looks @ self._detectors.regions["look"].mean < 0
        reasons = [
            _INVERTED if inverted else _REASONS[name.split()[0]] if strange > limit else ""
            for inverted, strange, name in zip(against, strangeness, names, strict=True)
        ]
        return list(zip(logits.tolist(), reasons, strict=True))


@dataclass(frozen=True)
class _Read:
    """A file as it was read: its square unless it cannot be read, and what is wrong with it."""

    path: str
    square: np.ndarray | None
    problem: str


def _ahead(
    work: Callable[[_Item], _Result], items: Iterable[_Item], *, more: int
) -> Iterator[_Result]:
    """Yield the result for each item, in order, from threads that work ahead of who takes them."""
    threads = _cores()
    waiting: collections.deque[Future[_Result]] = collections.deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > threads + more:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _cores() -> int:
    """The cores that this process may use, which in a container are not all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _session(content: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _cores()
    # The threads of the network wait asleep, for others decode meanwhile.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # onnxruntime has an exception of its own for each kind of damage.
        raise errors.ClassifierError(
            f"the network cannot be loaded by onnxruntime ({errors.one_line(error)})"
        ) from None


def _check(session: Any, size: int, outputs: list[str]) -> None:
    """Refuse a network that takes or gives something else than its description says."""
    taken = [(each.name, each.type, each.shape[1:]) for each in session.get_inputs()]
    expected = [("pixels", "tensor(uint8)", [size, size, 1])]
    if taken != expected:
        raise errors.ClassifierError(
            f"the network takes {taken}, but its description says {expected}: pack it again"
        )
    given = [each.name for each in session.get_outputs()]
    if missing := sorted(set(outputs) - set(given)):
        raise errors.ClassifierError(
            f"the network has no output {', '.join(missing)} (it has {', '.join(given)}): "
            "pack it again"
        )


def _logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def _expit(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit))) if logit > -700 else 0.0
