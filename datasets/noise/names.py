"""Names of the types of label noise for tables and figures."""

from __future__ import annotations

NAMES = {
    "sym_other": "symmetric",
    "sym_all": "symmetric (own class too)",
    "sym_bernoulli": "symmetric (each label by chance)",
    "sym_per_class": "symmetric (in each class)",
    "pair_next": "pairs",
    "asym_semantic": "asymmetric (similar classes)",
    "idn": "instance-dependent",
    "fp_swap_sym": "swapped images",
    "fp_swap_pair": "swapped images (pairs)",
    "fp_swap_repeat": "swapped images (repeated)",
    "real": "real",
}


def spoken(kind: str) -> str:
    """The readable name of a type of noise ("symmetric" for `sym_other`); of an unknown type its own, without "_"."""
    return NAMES.get(kind, kind.replace("_", " "))
