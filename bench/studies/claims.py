"""Tries the headline claims of the five papers: each is a comparison with a bootstrap interval and a verdict.

python -m bench claims plan                              # what there is to run
python -m bench claims run --markdown claims.md --json claims.json
python -m bench claims --tables-only                     # of the runs that are there
python -m bench claims run --papers DP-SEP --seeds 1 2 3
python -m bench claims run --published OPTIM.LR          # with published rates: docs/selection.md
python -m bench claims run --follow-up                   # experiments on claims that do not show

The claims are in bench/studies/claims_list.py, the experiments that follow them up in bench/studies/follow_ups.py, the
runs of both in configs/suites/claims.yaml; docs/claims.md says how they are judged. Finished runs are not repeated, and
no run is made twice for two claims.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pandas import DataFrame

from dassl.utils.ends import one_sentence

from ..suites.suite import Suite
from . import door
from .claim import Claim
from .claim_results import find
from .claim_tables import judge, sections, without_verdict
from .claims_list import CLAIMS, PAPERS
from .follow_ups import FOLLOW_UPS
from .new_class_similarity import divergences


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--papers", nargs="+", choices=PAPERS, help="the papers whose claims are tried (default: all)")
    parser.add_argument(
        "--published", nargs="+", metavar="KEY", default=[],
        help="config keys, such as OPTIM.LR, that have the value of each method's published config",
    )  # fmt: skip
    parser.add_argument(
        "--follow-up", action="store_true",
        help="in place of the claims, the experiments that tell why some do not show: the regime, a reading, or us",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers behind each verdict")


def chosen(args: argparse.Namespace) -> list[Claim]:
    """The claims, or the follow-ups, of the chosen papers."""
    listed = FOLLOW_UPS if args.follow_up else CLAIMS
    return [claim for claim in listed if claim.paper in (args.papers or PAPERS)]


def tried(claims: Sequence[Claim], suite: Suite) -> list[Claim]:
    """The claims whose two sides the suite has."""
    there = {(run.block, run.method) for run in suite.runs} | {
        (block, run.method) for run in suite.runs for block, _ in suite.same.get(run.id, ())
    }
    return [c for c in claims if all((side.block, side.method) in there for side in (c.left, c.right))]


def fill(tree: dict, args: argparse.Namespace) -> None:
    """Keep the blocks and methods that the chosen claims compare. --seeds stands for every block's seeds."""
    wanted = {(side.block, side.method) for claim in chosen(args) for side in (claim.left, claim.right)}
    kept = []
    for block in tree["blocks"]:
        methods = block["methods"] if isinstance(block["methods"], list) else [block["methods"]]
        methods = [method for method in methods if (block["name"], method) in wanted]
        kept += [{**block, "methods": methods}] if methods else []
        if args.seeds and methods:
            kept[-1].pop("seeds", None)
        if args.published and methods and block["protocol"] != "adversarial":  # test-time methods are not trained
            kept[-1]["published"] = args.published
    tree["blocks"] = kept


def page(frame: DataFrame, suite: Suite, args: argparse.Namespace) -> door.Page:
    if frame.empty:
        return door.Page()
    claims = tried(chosen(args), suite)
    kl, said = divergences(suite, claims)
    judged = [judge(claim, found) for found in [find(suite, frame, kl)] for claim in claims]
    data = {"claims": [each.numbers() for each in judged]}
    return door.Page(sections(judged), said, without_verdict(judged), data=data)


def name(args: argparse.Namespace) -> str:
    return "published" if args.published else "follow_up" if args.follow_up else "suite"


STUDY = door.Study("claims", __doc__, "claims", options, fill, page, name)


@one_sentence("interrupted: the same command goes on where it stopped")
def main(argv: list[str] | None = None) -> int:
    return door.main(STUDY, argv)
