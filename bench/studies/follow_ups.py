"""Experiments on claims that do not show: is it the regime, the reading of an unclear equation, or this project's code?

Each is a comparison as the claims are, judged in the same way, and `where` says which of the three it tells about.
"""

from __future__ import annotations

from .claim import Claim, Side
from .claims_list import ATTACK, BASE_NEW, CLEAN_MARGIN, HARD_NOISE, HM_MARGIN, NOISE, SYMMETRIC

OURS, READING, REGIME = "our code", "reading", "regime"

_ANPROMPT = Side(BASE_NEW, "ANPrompt")
_HALF, _MOST = ((SYMMETRIC, 0.5),), ((SYMMETRIC, 0.8),)
_READINGS = (
    ("second branch", "MMRL's second branch as robustness logits (A17)"),
    ("separate losses", "a cross-entropy for each of the logits (A18)"),
    ("alignment answer", "new classes by alignment logits alone (A16)"),
)

FOLLOW_UPS: tuple[Claim, ...] = (
    Claim(
        "anprompt-base", "ANPrompt", OURS, f"row 000, the code base, has MMRL's HM (within {HM_MARGIN:g} point)", "HM",
        Side("ANPrompt 000", "ANPrompt"), Side(BASE_NEW, "MMRL"), margin=HM_MARGIN,
    ),
    *(
        Claim(f"anprompt-{block.replace(' ', '-')}", "ANPrompt", READING, f"HM rises by {says}", "HM",
              Side(f"ANPrompt {block}", "ANPrompt"), _ANPROMPT)
        for block, says in _READINGS
    ),
    *(
        Claim(f"dpsep-longer-{key}", "DP-SEP", REGIME, f"{says} above PTNL at 80 % after 150 epochs", "accuracy",
              Side(block, "DPSEP"), Side("150 epochs", "PTNL"), _MOST)
        for key, says, block in (("mean", "DP-SEP", "150 epochs"), ("sum", "DP-SEP, sum,", "150 epochs, sum"))
    ),
    *(
        Claim(f"visprompt-longer-{key}", "VisPrompt", REGIME, f"{says} after 50 epochs", "accuracy",
              Side("VisPrompt 50 epochs", "VisPrompt"), side, _HALF)
        for key, says, side in (
            ("ptnl", "above PTNL", Side(NOISE, "PTNL")),
            ("nlprompt", "above NLPrompt", Side(HARD_NOISE, "NLPrompt")),
            ("joapr", "above JoAPR", Side(HARD_NOISE, "JoAPR")),
            ("guidance", "visual guidance helps", Side("VisPrompt 50 epochs, no guidance", "VisPrompt")),
            ("strength", "modulated strength above a fixed one",
             Side("VisPrompt 50 epochs, fixed strength", "VisPrompt")),
        )
    ),
    Claim(
        "visprompt-global", "VisPrompt", READING, "visual guidance by parts of the image's one feature helps",
        "accuracy", Side("VisPrompt global", "VisPrompt"), Side("VisPrompt no guidance", "VisPrompt"), _HALF,
    ),
    Claim(
        "sar-real-names", "SAR", REGIME, "HM of CoOp rises by SAR with the real new names", "HM",
        Side("SAR real names", "CoOpSAR"), Side(BASE_NEW, "CoOp"),
    ),
    Claim(
        "sar-real-names-kl", "SAR", OURS, "with the real new names, their similarities nearer to hand-written ones",
        "new-class KL", Side("SAR real names", "CoOpSAR"), Side(BASE_NEW, "CoOp"), sign=-1,
    ),
    *(
        Claim(f"rtpt-{block.replace(' ', '-')}", "R-TPT", REGIME,
              f"keeps zero-shot CLIP's clean accuracy {says} (within {CLEAN_MARGIN:g} point)", "clean",
              Side(f"R-TPT {block}", "RTPT"), Side(ATTACK, "ZeroshotCLIP"), margin=CLEAN_MARGIN)
        for block, says in (("plain answer", "if the plain view answers"), ("gentle views", "with gentle views"))
    ),
    Claim(
        "rtpt-long-step", "R-TPT", REGIME, "pointwise above marginal entropy with a step of 0.02, transfer attack",
        "transfer", Side("R-TPT step 0.02", "RTPT"), Side("R-TPT step 0.02, marginal", "RTPT"),
    ),
)  # fmt: skip
