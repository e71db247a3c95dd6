"""The embedded suite as Dassl datasets, made on first use under DATASET.ROOT (card: datasets/embedded/README.md)."""

import os
from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY
from dassl.utils import InputError

from .base import SplitDataset

SHAPES = "Shapes (configs/datasets/shapes.yaml)"


class EmbeddedSet(SplitDataset):
    """A generated set: `dataset_dir` names its generator."""

    image_dir = "images"

    @classmethod
    def ensure(cls, dataset_dir: str) -> None:
        """Makes the set if it is missing. A missing root is made only if it is called `data`, as in the README's
        commands; for any other missing root, which may be a typing error, raises InputError."""
        from .embedded.make import ensure  # renders with torch: only when a set is asked for

        root = Path(dataset_dir).parent
        if not os.path.isdir(root) and not (root.name == "data" and os.path.isdir(root.parent)):
            raise InputError(
                f"The folder of the datasets (--root, DATA) is {root}, which does not exist; correct it, or create it: "
                f"mkdir -p {root}"
            )
        ensure(cls.dataset_dir, dataset_dir)


@DATASET_REGISTRY.register()
class Digits(EmbeddedSet):
    dataset_dir = "digits"
    split_file = "split_zhou_Digits.json"


@DATASET_REGISTRY.register()
class Shapes(EmbeddedSet):
    dataset_dir = "shapes"
    split_file = "split_zhou_Shapes.json"


@DATASET_REGISTRY.register()
class ShapesSketch(EmbeddedSet):
    dataset_dir = "shapes_sketch"
    split_file = "split_zhou_ShapesSketch.json"
    test_only = True
    train_on = SHAPES


@DATASET_REGISTRY.register()
class ShapesClutter(EmbeddedSet):
    dataset_dir = "shapes_clutter"
    split_file = "split_zhou_ShapesClutter.json"
    test_only = True
    train_on = SHAPES


@DATASET_REGISTRY.register()
class ShapesInverted(EmbeddedSet):
    dataset_dir = "shapes_inverted"
    split_file = "split_zhou_ShapesInverted.json"
    test_only = True
    train_on = SHAPES


@DATASET_REGISTRY.register()
class Textures(EmbeddedSet):
    dataset_dir = "textures"
    split_file = "split_zhou_Textures.json"


@DATASET_REGISTRY.register()
class Letters(EmbeddedSet):
    dataset_dir = "letters"
    split_file = "split_zhou_Letters.json"


@DATASET_REGISTRY.register()
class Objects(EmbeddedSet):
    dataset_dir = "objects"
    split_file = "split_zhou_Objects.json"
