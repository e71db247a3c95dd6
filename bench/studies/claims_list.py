"""The headline claims of the five papers, as comparisons of runs of configs/suites/claims.yaml."""

from __future__ import annotations

from collections.abc import Iterator

from .claim import Claim, Published, Side

# Blocks of the suite.
BASE_NEW, SHIFT, ATTACK = "base to new", "clutter", "attack"
NOISE, HARD_NOISE = "label noise", "hard label noise"  # at all rates; at HARD alone
SAR_HOSTS = ("CoOp", "KgCoOp", "TCP", "MaPLe", "CoPrompt")
SYMMETRIC, INSTANCE = "sym_other", "idn"
HARD = ((SYMMETRIC, 0.5), (SYMMETRIC, 0.8), (INSTANCE, 0.4), (INSTANCE, 0.8))
TABLE_4 = ((SYMMETRIC, 0.5), (SYMMETRIC, 0.8))
TEXT = "noisy text"
TEXT_NOISE = tuple(
    (kind, strength)
    for kind, strengths in (("typo", (0.1, 0.2, 0.4)), ("distractor", (1.0, 2.0, 4.0)), ("embedding", (0.2, 0.4, 0.8)))
    for strength in strengths
)
HM_MARGIN = 1.0  # percentage points of HM that wrong sentences may cost and still count as withstood
CLEAN_MARGIN = 1.0  # percentage points that a defence may cost on clean images and still count as keeping accuracy


def _anprompt() -> Iterator[Claim]:
    name, own = "ANPrompt", Side(BASE_NEW, "ANPrompt")
    rivals = ("MMRL", "CoPrompt", "PromptSRC", "MaPLe", "CoCoOp", "CoOp")
    for rival in rivals:
        yield Claim(
            f"anprompt-hm-{rival}", name, "Table 1", f"HM above {rival}", "HM", own, Side(BASE_NEW, rival),
            published=Published("anprompt", "1", "ANprompt", rival),
        )  # fmt: skip
    text, loss, prompts = "text noise", "WA loss", "anti-noise prompts"
    parts = (
        ("011", text, f"{loss} + {prompts}"),
        ("101", loss, f"{text} + {prompts}"),
        ("110", prompts, f"{text} + {loss}"),
        ("000", "the three together", "baseline"),
    )
    for row, part, printed in parts:
        yield Claim(
            f"anprompt-part-{row}", name, "Table 4", f"HM rises by {part}", "HM", own, Side(f"ANPrompt {row}", name),
            published=Published("anprompt", "4", f"{text} + {loss} + {prompts}", printed),
        )  # fmt: skip
    for rival in rivals:
        yield Claim(
            f"anprompt-clutter-{rival}", name, "Fig. 1, abstract", f"loses less than {rival} by clutter in the image",
            "loss", Side(SHIFT, name), Side(SHIFT, rival), sign=-1,
        )  # fmt: skip
    for rival in rivals:
        yield Claim(
            f"anprompt-text-{rival}", name, "Fig. 1, abstract", f"loses less than {rival} by noise in the text",
            "text loss", Side(TEXT, name), Side(TEXT, rival), TEXT_NOISE, sign=-1,
        )  # fmt: skip
    yield Claim(
        "anprompt-sentences", name, "Fig. 1, abstract",
        f"keeps its HM with 40 % wrong sentences in training (within {HM_MARGIN:g} point)", "HM",
        Side("ANPrompt wrong sentences", name), own, margin=HM_MARGIN,
    )  # fmt: skip


def _dpsep() -> Iterator[Claim]:
    name, own, base = "DP-SEP", Side(NOISE, "DPSEP"), Side(NOISE, "PTNL")
    table = Published("dpsep", "1", "DP-SEP", "PTNL")
    rates = {SYMMETRIC: (0.125, 0.25, 0.5, 0.65, 0.8), INSTANCE: (0.2, 0.4, 0.6, 0.8)}
    words = {SYMMETRIC: "symmetric", INSTANCE: "instance-dependent"}
    for kind, high in ((SYMMETRIC, (0.5, 0.65, 0.8)), (INSTANCE, (0.4, 0.6, 0.8))):
        for rate in high:
            yield Claim(
                f"dpsep-{kind}-{100 * rate:g}", name, "Table 1", f"above PTNL at {100 * rate:g} % {words[kind]} noise",
                "accuracy", own, base, ((kind, rate),), published=table,
            )  # fmt: skip
        points = tuple((kind, rate) for rate in rates[kind])
        yield Claim(
            f"dpsep-{kind}-slope", name, "Table 1",
            f"the lead over PTNL grows with {words[kind]} noise (for 10 % more)", "slope", own, base, points,
            published=table,
        )  # fmt: skip
    dp, sep, plain = (Side(f"DP-SEP {row}", "DPSEP") for row in ("DP, mean", "SEP, printed", "SEP sigma 0, printed"))
    steps = (
        ("dp", "DP alone above PTNL", dp, base, ("DP", "PTNL")),
        ("sep", "SEP alone above PTNL", sep, base, ("SEP", "PTNL")),
        ("perturbation", "SEP's perturbation helps", sep, plain, ("SEP", "SEP, sigma 0")),
        ("both-dp", "DP and SEP above DP alone", own, dp, ("DP-SEP", "DP")),
        ("both-sep", "DP and SEP above SEP alone", own, sep, ("DP-SEP", "SEP")),
    )
    for key, says, left, right, printed in steps:
        table_4 = Published("dpsep", "4", *printed)
        yield Claim(f"dpsep-part-{key}", name, "Table 4", says, "accuracy", left, right, TABLE_4, published=table_4)
    for row in ("DP, sum", "SEP, intent", "DP-SEP, intent", "DP-SEP, sum"):
        left = Side(f"DP-SEP {row}", "DPSEP")
        says = f"other reading: {row} above PTNL"
        yield Claim(f"dpsep-reading-{row}", name, "Table 4", says, "accuracy", left, base, TABLE_4)


def _visprompt() -> Iterator[Claim]:
    name, own = "VisPrompt", Side(HARD_NOISE, "VisPrompt")
    for rival in ("PTNL", "NLPrompt", "JoAPR"):
        yield Claim(f"visprompt-{rival}", name, "abstract", f"above {rival} under label noise", "accuracy", own,
                    Side(NOISE if rival == "PTNL" else HARD_NOISE, rival), HARD)  # fmt: skip
    for key, says in (("no guidance", "visual guidance helps"),
                      ("fixed strength", "modulated strength above a fixed one")):  # fmt: skip
        yield Claim(f"visprompt-{key.replace(' ', '-')}", name, "abstract", says, "accuracy", own,
                    Side(f"VisPrompt {key}", name), HARD)  # fmt: skip


def _sar() -> Iterator[Claim]:
    for host in SAR_HOSTS:
        yield Claim(
            f"sar-hm-{host}", "SAR", "Table 3", f"HM of {host} rises by SAR", "HM", Side(BASE_NEW, f"{host}SAR"),
            Side(BASE_NEW, host), published=Published("sar", "3", f"{host}+SAR", host),
        )  # fmt: skip
    own, single, ensemble = Side(BASE_NEW, "CoOpSAR"), Side("SAR single", "CoOpSAR"), Side("SAR ensemble", "CoOpSAR")
    rows = ("CoOp", "+ L_SAR", "+ prompt ensembling", "+ random embedding sampling")
    steps = (
        ("loss", "L_SAR alone helps CoOp", single, Side(BASE_NEW, "CoOp"), (rows[1], rows[0])),
        ("ensemble", "prompt ensembling helps", ensemble, single, (rows[2], rows[1])),
        ("sampling", "random sampling helps", own, ensemble, (rows[3], rows[2])),
    )
    for key, says, left, right, printed in steps:
        yield Claim(f"sar-{key}", "SAR", "Table 1", says, "HM", left, right, published=Published("sar", "1", *printed))
    for host in SAR_HOSTS:
        yield Claim(
            f"sar-kl-{host}", "SAR", "Fig. 1", f"similarities of new classes nearer to hand-written ones: {host}",
            "new-class KL", Side(BASE_NEW, f"{host}SAR"), Side(BASE_NEW, host), sign=-1,
        )  # fmt: skip


def _rtpt() -> Iterator[Claim]:
    name, own = "R-TPT", Side(ATTACK, "RTPT")
    steps = (
        ("pointwise", "pointwise above marginal entropy", Side("R-TPT marginal", "RTPT")),
        ("reliability", "reliability weights above the plain mean", Side("R-TPT mean", "RTPT")),
        ("tpt", "R-TPT above TPT", Side(ATTACK, "TPT")),
    )
    for key, says, right in steps:
        for metric in ("transfer", "adaptive"):
            text = f"{says}, {metric} attack"
            yield Claim(f"rtpt-{key}-{metric}", name, "abstract", text, metric, own, right)
    yield Claim(
        "rtpt-clean", name, "abstract", f"keeps zero-shot CLIP's clean accuracy (within {CLEAN_MARGIN:g} point)",
        "clean", own, Side(ATTACK, "ZeroshotCLIP"), margin=CLEAN_MARGIN,
    )  # fmt: skip


CLAIMS: tuple[Claim, ...] = (*_anprompt(), *_dpsep(), *_visprompt(), *_sar(), *_rtpt())
PAPERS = tuple(dict.fromkeys(claim.paper for claim in CLAIMS))
