"""Times a label-noise suite with the bank of training features beside the same suite without it, on the embedded sets.

python -m speed.noise_suite                                   # 7 methods, 5 rates, 3 seeds, Digits, 10 epochs
python -m speed.noise_suite --methods CoOp PTNL PTNL-GCE DPSEP NLPrompt JoAPR VisPrompt

Two processes with one thread and an empty cache each, first TRAIN.FEATURE_BANK False, then True: start-up, data, tests
and files are included. Images that went through the tower are summed from the runs' results.json. The operations are
those of one rate and seed: counted by torch in this process, in a run of each method with the cache that the second
process left, and without it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from tabulate import tabulate

from bench.running.sharing import tower_epochs
from bench.running.work import work
from bench.suites.suite import Run, Suite, read_suite
from dassl.utils import atomic_path
from dassl.utils.ends import one_sentence
from dassl.utils.screen import Screen

from .gpu_runs import told
from .operations import operations
from .side_by_side import workspace

METHODS = ("CoOp", "KgCoOp", "ProGrad", "TCP", "PTNL", "DPSEP", "NLPrompt")
RATES = (0.125, 0.25, 0.5, 0.65, 0.8)
HEADERS = ["method", "runs", "images, without", "images, with", "times fewer", "s, without", "s, with", "times less"]
HEADERS += ["TFLOP a run, without", "TFLOP a run, with"]


@dataclass
class Way:
    """What a process has done: records of its runs by id, its seconds and CPU seconds."""

    records: dict[str, dict]
    seconds: float
    cpu: float

    def images(self, runs: Sequence[Run]) -> int:
        return sum(self.records[run.id]["image_tower"]["images_encoded"] for run in runs)

    def own_seconds(self, runs: Sequence[Run]) -> float:
        return sum(self.records[run.id]["wall_seconds"] for run in runs)


def suite_of(root: str, bank: bool, args: argparse.Namespace, folder: Path) -> Suite:
    """The suite with or without the bank. Neither key identifies a run, so the ids are the same."""
    block = {"protocol": "noise", "methods": args.methods, "datasets": args.datasets, "seeds": args.seeds}
    block |= {"types": {"sym_other": args.rates}, "shots": args.shots}
    tree = {"name": "noise", "output": f"{folder}/bank {bank}", "blocks": [block]}
    pairs = dict(zip(args.opts[::2], args.opts[1::2], strict=True))
    tree["overrides"] = {"OPTIM.MAX_EPOCH": args.epochs, "TRAIN.FEATURE_BANK": bank, **pairs}
    file = folder / f"bank {bank}.yaml"
    file.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return read_suite(file, root=f"{root}/data")


def done_by(suite: Suite, root: str, cache: str) -> Way:
    """Runs a suite in a process of its own. Raises RuntimeError if a run fails."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    told("work", str(suite.file), "--root", f"{root}/data", ROBUSTPROMPT_CACHE=cache, OMP_NUM_THREADS="1")
    took, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    records = {run.id: json.loads((run.folders[0] / "results.json").read_text()) for run in suite.runs}
    return Way(records, took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def counted(root: str, bank: bool, args: argparse.Namespace) -> dict[str, float]:
    """{method: TFLOP of its run at the first seed and rate}, in this process, with the cache that `done_by` left."""
    few = argparse.Namespace(**{**vars(args), "seeds": args.seeds[:1], "rates": args.rates[:1]})
    folder = Path(root, "counted")
    folder.mkdir(exist_ok=True)
    os.environ["ROBUSTPROMPT_CACHE"] = f"{root}/cache {bank}"
    found: dict[str, float] = {}
    for run in suite_of(root, bank, few, folder).runs:
        found[name_of(run)] = found.get(name_of(run), 0.0) + operations(lambda run=run: work(run, threads=1)) / 1e12
    return found


def name_of(run: Run) -> str:
    return run.variant or run.method


def measure(args: argparse.Namespace) -> str:
    """The tables as Markdown."""
    with workspace() as root:
        told("prepare", *args.datasets, "--root", f"{root}/data", module="datasets")  # is made once, for both
        suites = [suite_of(root, bank, args, Path(root)) for bank in (False, True)]
        off, on = (done_by(suite, root, f"{root}/cache {bool(bank)}") for bank, suite in enumerate(suites))
        flops = [counted(root, bank, args) for bank in (False, True)]
    runs = suites[1].runs
    rows = []
    for name in dict.fromkeys(map(name_of, runs)):
        own = [run for run in runs if name_of(run) == name]
        images, times = [way.images(own) for way in (off, on)], [way.own_seconds(own) for way in (off, on)]
        rows.append([name, len(own), *images, ratio(*images), *times, ratio(*times), *(each[name] for each in flops)])
    images, times = [way.images(runs) for way in (off, on)], [off.seconds, on.seconds]
    rows.append(["all, start-up included", len(runs), *images, ratio(*images), *times, ratio(*times), *2 * [None]])
    times = [off.cpu, on.cpu]
    rows.append(["CPU seconds of all", *4 * [None], *times, ratio(*times), *2 * [None]])
    formats = ("", *3 * [".0f"], *4 * [".1f"], *2 * [".3f"])
    same = sum(off.records[run.id]["results"] == on.records[run.id]["results"] for run in runs)
    said = [
        f"{', '.join(args.datasets)}, {args.shots} shots, {args.epochs} epochs, {len(args.rates)} rates, "
        f"{len(args.seeds)} seeds, one thread",
        tabulate(
            rows,
            HEADERS,
            tablefmt="github",
            floatfmt=formats,
        ),
        f"Equal results: {same} of {len(runs)} runs. Passes over a run's training images that `bench plan` counts: "
        "{:,} and {:,}.".format(*tower_epochs(runs)),
    ]
    return "\n\n".join(said) + "\n"


def ratio(a: float, b: float) -> float:
    return a / b if b else float("inf")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Screen)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), metavar="METHOD", help="named variants too")
    parser.add_argument("--datasets", nargs="+", default=["digits"], metavar="NAME", help="embedded ones")
    parser.add_argument("--rates", nargs="+", type=float, default=list(RATES), help="of symmetric noise")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--shots", type=int, default=16, help="training images a class")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--markdown", default="", metavar="FILE", help="also write the table to this file")
    parser.add_argument("opts", nargs="*", default=[], metavar="KEY VALUE", help="config pairs for every run")
    return parser


@one_sentence()
def main(argv: list[str] | None = None) -> None:
    args = build_parser().parse_intermixed_args(argv)
    torch.set_num_threads(1)
    text = measure(args)
    print(text)
    if args.markdown:
        with atomic_path(args.markdown) as temporary:
            Path(temporary).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
