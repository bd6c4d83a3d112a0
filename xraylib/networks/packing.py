"""Pack a trained network as a classifier: calibrated, with a threshold, and with its refusals."""

import datetime
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from xraylib.backend import keras
from xraylib.data import plausibility
from xraylib.data.augmentation import Augmentation
from xraylib.data.loading import Images
from xraylib.evaluation import calibration, refusal, thresholds
from xraylib.networks import export, models, packed, scoring

# By so much a file's AUC on validation may differ from that in Keras.
MOST_DIFFERENCE: Final = 0.002
# Of validation, for the ranges of activations in 8 bits.
_CALIBRATING: Final = 512

_log = logging.getLogger(__name__)


def pack(
    network: keras.Model,
    images: Images,
    folder: Path | str | None = None,
    *,
    name: str,
    version: str,
    rule: thresholds.Rule = thresholds.Rule.BEST_ON_VALIDATION,
    licences: Mapping[str, str] | None = None,
    date: str | None = None,
    changes: Augmentation | None = None,
) -> packed.Description:
    """Write everything that `classifier.load` needs into a folder.

    Threshold, temperature and refusals are fitted on the logits of the very ONNX that is packed:
    the detectors on `train`, all else on `validation`. Test is not touched. A quantized network
    whose AUC on validation is another by more than `MOST_DIFFERENCE` is left out, with a warning.

    Args:
        network: Trained, as `export.deployed` takes it.
        images: With the splits train and validation, prepared as the network needs them.
        folder: Where to write; None for `packed.FOLDER`, the classifier of this library.
        name: Of the network, with what it was trained on.
        version: Of its weights.
        rule: How the threshold is chosen.
        licences: Of code, weights and data, by these words.
        date: As 2026-11-26; None for today.
        changes: Random changes to which the network is used; the detectors see each image with and
            without them. Fitted on copies of one size and sharpness alone, they would refer the
            same films in another resolution.

    Returns:
        What was written into `classifier.json`.

    Raises:
        ValueError: The ONNX gives another AUC on validation than Keras, a class is missing in
            validation, or `rule` is the oracle, which needs test.
    """
    folder = Path(folder or packed.FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    (pixels, labels), (train_pixels, _) = (_of(images, split) for split in ("validation", "train"))
    measured = _write_networks(network, folder, pixels, labels)
    validation = _features(folder, pixels)
    logits = validation.pop("logit")
    temperature = calibration.temperature(labels, expit(logits))
    probabilities = expit(logits / temperature)
    limit, words = threshold(labels, probabilities, rule)
    train = _features(folder, train_pixels)
    near = refusal.nearness(logits / temperature, limit)
    if changes:
        train = _joined(train, _features(folder, _changed(train_pixels, changes)))
        changed = _features(folder, _changed(pixels, changes))
        near = np.append(near, refusal.nearness(changed["logit"] / temperature, limit))
        validation = _joined(validation, changed)
    train.pop("logit")
    refusal.fit(train, validation, others={"near": near}).save(folder / packed.REFUSAL)
    description = packed.Description(
        name=name,
        version=version,
        date=date or datetime.date.today().isoformat(),
        preparation=images.preparation,
        threshold=limit,
        rule=words,
        temperature=temperature,
        prevalence=float(labels.mean()),
        licences=licences or {},
        measured=measured,
    )
    return packed.write(folder, description)


def _changed(pixels: np.ndarray, changes: Augmentation) -> np.ndarray:
    rngs = (np.random.default_rng(number) for number in range(len(pixels)))
    return np.stack([changes.apply(*pair) for pair in zip(pixels, rngs, strict=True)])


def _joined(some: dict[str, np.ndarray], more: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([values, more[name]]) for name, values in some.items()}


def _of(images: Images, split: str) -> tuple[np.ndarray, np.ndarray]:
    rows = np.flatnonzero(images.table["split"] == split)
    if not len(rows):
        raise ValueError(f"no images in the split {split!r}: give those that were trained with")
    return images.pixels[rows], images.table["label"].to_numpy()[rows]


def _write_networks(
    network: keras.Model, folder: Path, pixels: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """Write the network in each form, and compare each on validation with Keras."""
    portions = np.split(pixels, range(64, len(pixels), 64))
    expected = scoring.pneumonia(scoring.outputs(models.logits(network), portions))
    measured = {"validation AUC, Keras": float(roc_auc_score(labels, expected))}
    export.halved(network, folder / packed.KERAS)
    with tempfile.TemporaryDirectory() as place:
        single = export.onnx(network, Path(place, "single.onnx"))
        export.onnx(network, folder / packed.ONNX["float"], half=True)
        chosen = np.random.default_rng(0).permutation(len(pixels))[:_CALIBRATING]
        export.int8(single, folder / packed.ONNX["int8"], pixels[np.sort(chosen)])
    for bits, file in packed.ONNX.items():
        logits = export.outputs(folder / file, pixels)["logit"].ravel()
        auc = float(roc_auc_score(labels, logits))
        difference = abs(auc - measured["validation AUC, Keras"])
        measured[f"validation AUC, {bits}"] = auc
        measured[f"largest difference of a logit, {bits}"] = float(np.abs(logits - expected).max())
        if difference > MOST_DIFFERENCE:
            problem = f"the AUC of {file} on validation differs from Keras' by {difference:.4f}"
            if bits == "float":
                raise ValueError(f"{problem}: at most {MOST_DIFFERENCE} is rounding")
            (folder / file).unlink()
            _log.warning(f"{problem}: left out")
    return measured


def _features(folder: Path, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """The logit, (n,), and the features that are judged, (n, d) each, of the packed ONNX."""
    outputs = export.outputs(folder / packed.ONNX["float"], pixels)
    looks = np.stack([plausibility.thumbnail(each[..., 0]) for each in pixels])
    features = {"logit": outputs["logit"].ravel().astype(float), "look": looks}
    return features | {name: outputs[name] for name in ("early", "late") if name in outputs}


def threshold(
    labels: np.ndarray, probabilities: np.ndarray, rule: thresholds.Rule
) -> tuple[float, str]:
    """Choose the threshold of calibrated probabilities on validation, and say how in words."""
    if rule == thresholds.Rule.BEST_ON_VALIDATION:
        return thresholds.best_threshold(labels, probabilities), (
            "highest balanced accuracy on validation"
        )
    if rule == thresholds.Rule.SENSITIVE_ON_VALIDATION:
        return thresholds.sensitive_threshold(labels, probabilities), (
            "sensitivity of .95 on validation"
        )
    if rule == thresholds.Rule.HALF:
        return 0.5, "fixed at .5"
    raise ValueError(f"a packed threshold is chosen without test. Received: {rule!r}")
