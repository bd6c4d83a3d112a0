"""Pack the network of one run of notebook 07 as the classifier in the box, then `make card`.

    python experiments/pack_classifier.py RUN --data FOLDER

RUN is the folder of the run with the best AUC on validation, with its model.keras; FOLDER holds the
images that it was trained on. Test is not read.
"""

import argparse
from pathlib import Path

from xraylib.data import index, loading, sources, splits
from xraylib.data.augmentation import Augmentation
from xraylib.networks import packing
from xraylib.runs import records

LICENCES = {
    "code": "MIT",
    "weights": "MIT; fine-tuned from ImageNet weights under Apache-2.0",
    "data": "CC BY 4.0, Kermany et al. 2018, Mendeley Data 10.17632/rscbjbr9sj.2",
}
# What the recipe of notebook 07 does to sharpness and noise.
CHANGES = Augmentation(blur=1.0, sharpen=1.5, noise=6.0, recompress=True)


def main(run: Path, data: Path) -> None:
    (record,) = records.read(run).records
    network = record.load_network()
    assert network is not None and record.preparation is not None, f"{run} holds no network"
    table = splits.hold_out_validation(index.from_tree(sources.locate(data)), seed=0)
    table = table[table["split"] != "test"].reset_index(drop=True)
    size = record.preparation.image_size
    print(
        packing.pack(
            network,
            loading.decode(table, record.preparation),
            name=f"EfficientNet-Lite0 at {size} px, notebook 07, seed {record.seed}",
            version="1",
            licences=LICENCES,
            changes=CHANGES,
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    main(arguments.run, arguments.data)
