"""PatchCamelyon (Veeling et al. 2018): tissue of lymph nodes, with or without a tumour in the central 32 pixels."""

from __future__ import annotations

import importlib.util

import numpy as np

from dassl.data.datasets import DATASET_REGISTRY
from dassl.utils import InputError

from .packed import PackedDataset, Pictures


@DATASET_REGISTRY.register()
class PCAM(PackedDataset):
    """In older copies of the files validation and test are swapped; the authors' are those of torchvision."""

    dataset_dir = "pcam"
    archive, site = "pcam", "camelyonpatch_level_2_split_*.h5.gz of github.com/basveeling/pcam"
    parts = ("train", "val", "test")
    sizes = (2, 262144, 32768, 32768)

    def pictures(self, part: str, root: str) -> Pictures:
        import torchvision.datasets

        if importlib.util.find_spec("h5py") is None:
            raise InputError("PCAM is in HDF5 files, which need the package h5py: pip install h5py.")
        opened = torchvision.datasets.PCAM(root, split=part)
        yield from ((np.asarray(picture), int(label)) for picture, label in (opened[i] for i in range(len(opened))))

    def names(self) -> list[str]:
        return ["lymph node", "lymph node containing metastatic tumor tissue"]
