"""A token table of which only the trained rows are stored.

A small CLIP trained on few words leaves most of the 49,408 rows of its table as they were initialised. A file may
hold the trained rows under `ROWS` and their token ids under `IDS` in place of `token_embedding.weight`; the other rows
are filled by a fixed function of their number.
"""

import torch
from torch import Tensor

from .errors import InputError
from .seeding import derive_seed

TABLE = "token_embedding.weight"
ROWS, IDS = "token_embedding.trained_rows", "token_embedding.trained_ids"
VOCABULARY = 49408  # of OpenAI's tokenizer
FILL_STD = 0.02  # of the initial rows, as in OpenAI's code


def untrained_rows(width: int, dtype: torch.dtype) -> Tensor:
    """The table [49408, width] before training: uniform, mean 0, standard deviation 0.02, the same on every machine.

    Uniform, not normal: each value is one draw of the generator times a constant, which every processor rounds alike.
    """
    generator = torch.Generator().manual_seed(derive_seed("untrained token rows"))
    unit = torch.rand(VOCABULARY, width, generator=generator)
    return ((unit - 0.5) * (FILL_STD * 12**0.5)).to(dtype)


def compact(weights: dict[str, Tensor], ids: list[int]) -> dict[str, Tensor]:
    """The state dict with only the rows `ids` of its token table; the other rows are dropped."""
    rest = {key: value for key, value in weights.items() if key != TABLE}
    return rest | {ROWS: weights[TABLE][ids].contiguous(), IDS: torch.tensor(ids, dtype=torch.int32)}


def expand(weights: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    """The state dict with its whole token table; one that is stored whole comes back as it is.

    Raises InputError naming `source` if rows and ids do not belong together.
    """
    if ROWS not in weights and IDS not in weights:
        return weights
    rows, ids = weights.get(ROWS), weights.get(IDS)
    if rows is None or ids is None or TABLE in weights:
        raise InputError(f"{source} is damaged: it must hold either {TABLE}, or both {ROWS} and {IDS}")
    if rows.ndim != 2 or ids.is_floating_point() or ids.shape != rows.shape[:1]:
        raise InputError(
            f"{source} is damaged: {ROWS} {tuple(rows.shape)} and {IDS} {tuple(ids.shape)} do not fit together"
        )
    ids = ids.long()
    if len(ids) != len(ids.unique()) or bool(((ids < 0) | (ids >= VOCABULARY)).any()):
        raise InputError(f"{source} is damaged: {IDS} must be different token ids from 0 to {VOCABULARY - 1}")
    table = untrained_rows(rows.shape[1], rows.dtype)
    table[ids] = rows.to(table.dtype)  # of another project's trainer on a CPU, which is given fp32 for fp16
    return {key: value for key, value in weights.items() if key not in (ROWS, IDS)} | {TABLE: table}
