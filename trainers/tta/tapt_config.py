"""TAPT's config keys, and what they ask for: the statistics that images are aligned with."""

from __future__ import annotations

from yacs.config import CfgNode

from clipkit import InputError
from dassl.config.domains import NOT_NEGATIVE, OPTIONAL, SHARE, whole

from ..shared.method import Method
from .config import DEFAULTS as COMMON
from .config import DOMAINS as COMMON_DOMAINS
from .token_statistics import Statistics, input_shape, read_statistics, statistics_of
from .trained_prompts import TrainedPrompts, prompts_from

A = "TRAINER.TAPT."
DEFAULTS = {
    **COMMON,
    A + "FROM": "",  # checkpoint or folder of the run whose prompts are tuned
    A + "CLEAN_FROM": "",  # one of the same prompts, trained on clean pictures
    A + "ADV_STATS": "",  # a file with the statistics under FROM's prompts; empty: computed once
    A + "CLEAN_STATS": "",  # the same under CLEAN_FROM's
    A + "STATS_SHOTS": 0,  # training pictures of a class that statistics are computed from; 0: all
    A + "LR": 5e-4,
    A + "ALIGN": 100.0,
    A + "GAMMA": 0.5,
    A + "RESET": 1,  # images after which the prompts are reset
}
DOMAINS = {
    **COMMON_DOMAINS,
    **{A + key: OPTIONAL for key in ("FROM", "CLEAN_FROM", "ADV_STATS", "CLEAN_STATS")},
    A + "STATS_SHOTS": whole(0),
    **{A + key: NOT_NEGATIVE for key in ("LR", "ALIGN")},
    A + "GAMMA": SHARE,
    A + "RESET": whole(1),
}
# keys of TRAINER.TTA that TAPT does not read
UNREAD = ("LR", "CTX_INIT", "CTX_FROM", "PROMPTS", "ENSEMBLE", "ENS_TOPK", "ENS_TEMP", "ENS_SELF_MASK", "TEXT_LEN")


def check_sources(cfg: CfgNode) -> None:
    """Raises InputError for a config without the runs that it needs, and for a RESET that lets images depend on each
    other."""
    own = cfg.TRAINER.TAPT
    if own.RESET != 1:
        raise InputError(
            f"{A}RESET is {own.RESET}, but an image's answer may not depend on the images before it; leave it at 1."
        )
    if not own.FROM:
        raise InputError(f"{A}FROM is empty: TAPT tunes trained prompts; give the folder of a run of AdvIVLP, say.")
    if own.ALIGN and own.GAMMA < 1 and not (own.CLEAN_FROM or own.CLEAN_STATS):
        raise InputError(
            f"{A}CLEAN_FROM is empty: give a run of the same prompts on clean pictures (TRAIN_ATTACK.EPS 0), a file "
            f"of its statistics as {A}CLEAN_STATS, or {A}GAMMA 1 to do without."
        )


def targets(trainer: Method, trained: TrainedPrompts) -> list[tuple[float, Statistics]]:
    """[(weight, MU and VAR)] of the kinds adv and clean, without a kind whose weight is 0. trained: FROM's prompts.

    Raises InputError for prompts in one block, of which none is compared, and for those of CLEAN_FROM where they are of
    another number or depth.
    """
    own, (count, depth) = trainer.cfg.TRAINER.TAPT, trained.size()
    found = []
    for share, kind in ((own.GAMMA, "ADV"), (1 - own.GAMMA, "CLEAN")):
        if not share or not own.ALIGN:
            continue
        if depth == 1:
            raise InputError(f"{trained.file} has tokens in one block; {A}ALIGN compares all but the last of several.")
        if file := own[f"{kind}_STATS"]:
            shape = input_shape(trainer.image_encoder, trained.tokens(), depth - 1)
            found.append((share, read_statistics(f"{A}{kind}_STATS", file, shape, trainer.device)))
            continue
        of = trained if kind == "ADV" else prompts_from(f"{A}CLEAN_FROM", own.CLEAN_FROM, trainer)
        if of.size() != (count, depth):
            n, blocks = of.size()
            raise InputError(
                f"{of.file} ({A}CLEAN_FROM) has {n} tokens in {blocks} blocks, but {A}FROM has {count} in {depth}; "
                "give a run of the same prompts."
            )
        found.append((share, statistics_of(of, depth - 1, own.STATS_SHOTS, trainer)))
    return found
