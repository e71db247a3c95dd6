"""The tables of the SAR paper, base-to-new: python -m bench.sar TABLE --datasets digits textures --seeds 1 2 3

hosts       each host with and without SAR (Table 3)
ablation    CoOp; + L_SAR with one prompt and all classes; + prompt ensembling; + random sampling (Table 1)
number      0, 50 (16 of them a row) and 200 novel classes
lambda      the weight of L_SAR
words       where the novel names come from: our lists, WordNet, the dataset's own new classes (oracle)
four_shot   hosts with and without SAR, 4 images a class

A finished run is not run again, an interrupted one goes on. Domain generalisation is
python -m bench.generalization --methods CoOp CoOpSAR ... --protocols domain_generalization
"""

from __future__ import annotations

from runs.targets import EMBEDDED_SETS

from . import go_ahead
from .variants import Variant, parser, run

S = "TRAINER.SAR."
HOSTS = ("CoOp", "KgCoOp", "TCP", "MaPLe", "CoPrompt")
LAMBDAS = ("0.01", "0.05", "0.1", "0.5", "1.0", "2.0")


def _variant(*cells: str, folder: str = "", method: str = "CoOpSAR", shots: int = 0, **settings: object) -> Variant:
    pairs = tuple(x for key, value in settings.items() for x in (S + key, str(value)))
    return Variant(cells, folder or cells[-1], method, pairs, shots)


def hosts(shots: int = 0) -> list[Variant]:
    folder = "four_shot" if shots else "hosts"
    return [
        _variant(host, mark, folder=folder, method=host + name, shots=shots)
        for host in HOSTS
        for mark, name in (("", ""), ("x", "SAR"))
    ]


def tables() -> dict[str, tuple[list[str], list[Variant]]]:
    """{table: (headers of the labels, its rows)}."""
    single = {"ENSEMBLE": False, "RANDOM_SAMPLING": False}
    ablation = [
        _variant("CoOp", folder="hosts", method="CoOp"),
        _variant("+ L_SAR", folder="ablation/single", **single),
        _variant("+ prompt ensembling", folder="ablation/ensemble", **single | {"ENSEMBLE": True}),
        _variant("+ random sampling", folder="hosts"),
    ]
    number = [
        _variant("0", folder="number/0", NUM_NOVEL=0, SAMPLE_SIZE=16),
        _variant("50", folder="number/50", NUM_NOVEL=50, SAMPLE_SIZE=16),
        _variant("200", folder="hosts"),
    ]
    words = [
        _variant("lists", folder="hosts"),
        _variant("WordNet", folder="words/wordnet", NOVEL_SOURCE="wordnet"),
        _variant("oracle", folder="words/oracle", NOVEL_SOURCE="oracle"),
    ]
    weights = [_variant(v, folder="hosts" if v == "0.1" else f"lambda/{v}", **({} if v == "0.1" else {"LAMBDA": v}))
               for v in LAMBDAS]  # fmt: skip
    return {
        "hosts": (["host", "SAR"], hosts()),
        "ablation": (["step"], ablation),
        "number": (["novel classes"], number),
        "lambda": (["lambda"], weights),
        "words": (["novel names"], words),
        "four_shot": (["host", "SAR"], hosts(4)),
    }


def main(argv: list[str] | None = None) -> int:
    known = tables()
    args = go_ahead.parse(parser(__doc__, "output/sar", EMBEDDED_SETS, tables=list(known)), argv)
    headers, variants = known[args.table]
    return run(variants, headers, f"SAR, {args.table}", args)
