"""Files of learners with rows for classes or images: rows that do not belong together are refused."""

from __future__ import annotations

import pytest
import torch

import clipkit
import dassl.utils


def loaded(tiny, folder, method: str, changed: dict) -> None:
    """Loads a file of the method with other tensors in it."""
    trainer = tiny.trainer(folder / "run", method)
    trainer.save_model(0, str(folder / "saved"))
    (file,) = (folder / "saved").glob("*/model.pth.tar-1")
    checkpoint = torch.load(file, weights_only=True)
    torch.save(checkpoint | {"state_dict": checkpoint["state_dict"] | changed}, file)
    trainer.load_model(str(folder / "saved"), 1)


@pytest.mark.parametrize(
    ("method", "changed", "said"),
    [
        ("TipAdapterF", {"values": torch.zeros(7, dtype=torch.long)}, "12 rows of adapter.weight, 7 rows of values"),
        ("TipAdapterF", {"values": torch.full((12,), 3)}, "class numbers that are not among its 3 classes"),
        ("TipAdapterF", {"values": torch.full((12,), torch.nan)}, "values"),
        ("TipAdapterF", {"values": torch.full((12,), 0.5)}, "values holds values that are not whole numbers"),
        ("LPpp", {"fc.bias": torch.zeros(2)}, "2 rows of fc.bias, 3 rows of alpha_vec for 3 classes"),
        ("TwoSFS", {"head": torch.zeros(4, 32)}, "4 rows of head for 3 classes, which do not belong together"),
    ],
)  # fmt: skip
def test_rows_that_do_not_belong_together(tiny, tmp_path, method, changed, said):
    with pytest.raises((clipkit.InputError, dassl.utils.InputError), match=said):
        loaded(tiny, tmp_path, method, changed)


def test_whole_numbers_may_be_stored_as_others(tiny, tmp_path):
    loaded(tiny, tmp_path, "TipAdapterF", {"values": torch.full((12,), 2.0)})
