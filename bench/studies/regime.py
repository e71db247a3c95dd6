"""The regime card: does a small CLIP behave under prompt learning, wrong labels, attacks and shifts as real CLIP does?

python -m datasets.embedded.regime --root data
python -m datasets.embedded.regime --root data --model candidate.safetensors --json card.json

Prints a table: criterion, wanted, measured, met. The runs are train.py's own (methods, configs, few-shot draws, label
noise) on stored image features without augmentation: four to ten minutes of one core a seed; results
with augmentation differ somewhat. The images are draws of the card's own, since models are chosen by it: the sets' own
test images are not looked at. --quick tries the command in seconds: one set, one seed, one epoch.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from tabulate import tabulate

from attacks import AttackSettings, Surrogate, attack_pictures
from clipkit.weights import EMBEDDED_FILE
from dassl.utils import InputError, write_json
from dassl.utils.ends import one_sentence
from dassl.utils.screen import Screen
from datasets.attacked.pictures import base_pictures
from datasets.embedded.make import ensure
from datasets.reading.catalog import quiet
from datasets.templates import custom_template
from runs.targets import EMBEDDED_SETS, SHIFTS
from trainers.shared.coinciding import NEAR

from ..reading.files import write_text
from ..running.trouble import check_output, writing
from . import regime_criteria as criteria
from .regime_runs import Lab

HEADERS = ["criterion", "wanted", "measured", "met"]
LOSSES = {"ce": (), "gce": ("LOSS.NAME", "gce")}
RATES = (0.0, 0.5, 0.8)
DRAWS = "calibration"  # and the folder below --root where the sets of the card are made


def measure(lab: Lab, sets: Sequence[str], noisy: Sequence[str], seeds: Sequence[int], pictures: int) -> dict:
    """All numbers of the card, by name. noisy: the sets of the runs on wrong labels. pictures: attacked, a set."""
    found: dict = {"sets": list(sets), "noisy": list(noisy), "seeds": list(seeds)}
    variants = SHIFTS["shapes"] if "shapes" in sets else ()
    zero = {name: {half: lab.zero_shot(name, half) for half in ("base", "new", "all")} for name in (*sets, *variants)}
    found["zero_shot"] = {name: {half: a for half, (a, _) in own.items()} for name, own in zero.items()}
    ratios, moved, steps = {}, {}, []
    methods: dict[str, dict[str, list]] = {"CoOp": {}, "KgCoOp": {}}
    for method, by_set in methods.items():
        for name in sets:
            for seed in seeds:
                run = lab.train(method, name, seed, "base")
                new, distance = lab.transfer(run, method, name, seed, "new")
                by_set.setdefault(name, []).append({"base": run.accuracy, "new": new})
                ratios[f"{method} {name} base seed {seed}"] = share(run.distance, zero[name]["base"][1])
                ratios[f"{method} {name} new seed {seed}"] = share(distance, zero[name]["new"][1])
                if method == "CoOp":
                    moved.setdefault(name, []).append(run.moved)
                    steps += run.steps
            _say(f"{method} on {name}")
    found["base2new"], found["moved"], found["steps"] = methods, moved, steps
    found["noise"] = []
    for name in noisy:
        for loss, seed, rate in ((x, s, r) for x in LOSSES for s in (seeds if x == "ce" else seeds[:1]) for r in RATES):
            noise = ("DATASET.NOISE.TYPE", "sym_other", "DATASET.NOISE.RATE", str(rate)) if rate else ()
            run = lab.train("CoOp", name, seed, "all", (*LOSSES[loss], *noise))
            ratios[f"CoOp {loss} {name} {rate:.0%} wrong seed {seed}"] = share(run.distance, zero[name]["all"][1])
            found["noise"].append(
                {"loss": loss, "set": name, "rate": rate, "seed": seed, "accuracy": run.accuracy, "floor": run.floor}
            )
        _say(f"wrong labels on {name}")
    found["distance_ratios"] = ratios
    found["attack"] = {name: attacked(lab, name, pictures) for name in sets} if pictures else {}
    found["shift"] = {}
    for seed in seeds if variants else ():
        run = lab.train("CoOp", "shapes", seed, "all")
        for variant in variants:
            accuracy, _ = lab.transfer(run, "CoOp", variant, seed, "all")
            found["shift"].setdefault(variant, []).append(run.accuracy - accuracy)
    return found


def share(distance: float, zero_shot: float) -> float:
    """The distance by zero-shot CLIP's; 0 where zero-shot CLIP's own class features coincide."""
    return distance / zero_shot if zero_shot > NEAR else 0.0


def attacked(lab: Lab, name: str, pictures: int) -> float:
    """Percent of `pictures` test images that the hand-written prompt gets right under PGD-10, eps 4/255, step 1/255."""
    trainer = lab.trainer("ZeroshotCLIP", name, 1)
    items = trainer.dm.dataset.test
    items = [items[i * len(items) // pictures] for i in range(min(pictures, len(items)))]
    clean = torch.stack(list(base_pictures(items, trainer.cfg.INPUT.SIZE[0])))
    label = torch.tensor([item.label for item in items])
    logits = Surrogate(trainer.clip, trainer.classnames, custom_template(trainer.cfg.DATASET.NAME))
    settings = AttackSettings(names=("pgd",), eps=4.0, alpha=1.0, steps=10)
    hits = attack_pictures(settings, logits, clean, label, range(len(items))).pred == label
    return 100 * hits.float().mean().item()


def card(found: dict) -> list[criteria.Criterion]:
    """The rows of the card from the numbers of `measure`."""
    zero = found["zero_shot"]
    mean = lambda by_name: {name: sum(values) / len(values) for name, values in by_name.items()}  # noqa: E731
    return [
        *criteria.zero_shot(zero),
        *criteria.base_to_new(zero, found["base2new"]["CoOp"], found["base2new"]["KgCoOp"]),
        *criteria.label_noise(found["noise"]),
        *criteria.class_features(found["distance_ratios"]),
        *criteria.movement(mean(found["moved"]), found["steps"]),
        *criteria.attack(found["attack"]),
        *criteria.shift(mean(found["shift"])),
    ]


def text(rows: Sequence[criteria.Criterion], form: str) -> str:
    words = {True: "yes", False: "no", None: "not measured"}
    cells = [[row.name, row.wanted, row.measured, words[row.met]] for row in rows]
    return tabulate(cells, HEADERS, tablefmt=form, disable_numparse=True)


@one_sentence()
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m datasets.embedded.regime", description=__doc__,
        formatter_class=Screen,
    )  # fmt: skip
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of the sets; they are made if missing")
    parser.add_argument("--model", type=Path, help="a .safetensors file (default: the shipped one)")
    parser.add_argument("--sets", nargs="+", choices=EMBEDDED_SETS, default=list(EMBEDDED_SETS), metavar="SET")
    parser.add_argument(
        "--noisy", nargs="*", choices=EMBEDDED_SETS, metavar="SET",
        help="sets of the runs on wrong labels (default: those of --sets but Shapes, the slowest)",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="each takes about ten minutes of a core")
    parser.add_argument("--pictures", type=int, default=100, help="attacked pictures of each set; 0: none")
    parser.add_argument("--quick", action="store_true", help="digits, one seed, one epoch: only to see that it runs")
    parser.add_argument("--markdown", type=Path, help="also write the card to this file")
    parser.add_argument("--json", type=Path, help="also write every measured number to this file")
    args = parser.parse_args(argv)
    for option in ("markdown", "json"):
        check_output(getattr(args, option), f"--{option}")
    if args.model and not os.path.isfile(args.model):
        raise InputError(f"There is no file {args.model} (--model).")
    if args.quick:
        args.sets, args.seeds, args.pictures = args.sets[:1], args.seeds[:1], min(args.pictures, 8)
    noisy = args.noisy if args.noisy is not None else [name for name in args.sets if name != "shapes"]
    started = time.process_time()
    root = args.root.resolve() / DRAWS
    with quiet(), tempfile.TemporaryDirectory() as scratch:
        for stem in (*args.sets, *(SHIFTS["shapes"] if "shapes" in args.sets else ())):
            ensure(stem, root / stem, DRAWS)
        lab = Lab(root, Path(scratch), str(args.model.resolve()) if args.model else "", int(args.quick))
        found = measure(lab, args.sets, noisy, args.seeds, args.pictures)
    rows = card(found)
    file = args.model or EMBEDDED_FILE
    digest = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    note = (
        f"Model {Path(file).name}, SHA-256 {digest[:12]}; seeds {', '.join(map(str, args.seeds))}; "
        f"{time.process_time() - started:.0f} s of CPU time."
    )
    print(f"{text(rows, 'simple')}\n\n{note}")  # noqa: T201
    if args.markdown:
        with writing(args.markdown, "--markdown"):
            write_text(args.markdown, f"{text(rows, 'github')}\n\n{note}\n")
    if args.json:
        about = {"model": str(file), "sha256": digest, "quick": args.quick}
        with writing(args.json, "--json"):
            write_json({**about, "criteria": [vars(row) for row in rows], "measured": found}, args.json)
    return 0


def _say(what: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {what}\n")
