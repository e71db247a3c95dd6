"""`python -m datasets items`: the images a run sees, as JSON, to be compared with those of another implementation."""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path

from dassl.data.datasets import Datum
from dassl.utils import InputError, atomic_path

from ..reading.catalog import Entry, find, make_cfg
from ..reading.fewshot_file import as_lines
from .console import say


def add_command(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = commands.add_parser("items", help="write the items of train, val and test as JSON", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="YAML stem (caltech101) or registered name (Caltech101)")
    parser.add_argument("--root", default="data", help="folder that holds the datasets (default: data)")
    parser.add_argument("--shots", type=int, nargs="+", default=[16], help="images per class; -1: all (default: 16)")
    parser.add_argument("--seed", type=int, nargs="+", default=[1], help="seeds of the sample (default: 1)")
    parser.add_argument("--subsample", choices=("all", "base", "new"), default="all", help="classes (default: all)")
    parser.add_argument("--output", default="", metavar="FILE", help="write there instead of to stdout")
    parser.add_argument(
        "--lists", default="", metavar="FOLDER",
        help="write the samples alone, as lists that DATASET.FEWSHOT_FILE reads: FOLDER/NAME/shot_K-seed_S.jsonl",
    )  # fmt: skip
    return parser


def run(args: argparse.Namespace) -> int:
    """Writes the JSON to stdout or --output, or with --lists the lists. Returns the exit code."""
    if args.lists:
        return write_lists(args)
    with redirect_stdout(sys.stderr):  # the log; stdout is for the JSON
        text = to_json(collect(find(args.name), args.root, args.shots, args.seed, args.subsample))
    if not args.output:
        say(text)
        return 0
    try:
        with atomic_path(args.output) as temporary:
            Path(temporary).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{args.output} cannot be written ({error.strerror}).") from error
    return 0


def write_lists(args: argparse.Namespace) -> int:
    """Write a list for each number of shots and seed, and say where."""
    entry = find(args.name)
    for count in args.shots:
        for seed in args.seed:
            with redirect_stdout(sys.stderr):
                data = entry.loader(make_cfg(entry, args.root, count, seed, args.subsample))
            file = Path(args.lists) / entry.stem / f"shot_{count}-seed_{seed}.jsonl"
            text = as_lines(data.train_x, [] if data.val is data.test else data.val or [], data.image_dir)
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                with atomic_path(file) as temporary:
                    Path(temporary).write_text(text, encoding="utf-8")
            except OSError as error:
                raise InputError(f"{file} cannot be written ({error.strerror}); name another folder.") from error
            say(str(file))
    return 0


def collect(entry: Entry, root: str | Path, shots: list[int], seeds: list[int], half: str = "all") -> dict:
    """Items of every combination of `shots` and `seeds`.

    `{dataset, name, subsample, classnames, test: [[path, label, class name], ...], samples: [{shots, seed, train,
    val}, ...]}`; paths are relative to `root`, order and labels are the run's own. `test` is the same for all of them.
    """
    result = {"dataset": entry.stem, "name": entry.name, "subsample": half, "classnames": [], "test": [], "samples": []}
    base = os.path.abspath(os.path.expanduser(root))
    for count in shots:
        for seed in seeds:
            data = entry.loader(make_cfg(entry, root, count, seed, half))
            result["classnames"], result["test"] = data.classnames, records(data.test, base)
            train, val = records(data.train_x, base), records(data.val, base)
            result["samples"].append({"shots": count, "seed": seed, "train": train, "val": val})
    return result


def records(items: list[Datum] | None, base: str) -> list[list]:
    """`[path relative to base, label, class name]` of each item, in order."""
    return [[os.path.relpath(x.impath, base).replace(os.sep, "/"), x.label, x.classname] for x in items or []]


def to_json(result: dict) -> str:
    """JSON with one line an item: short for a text file, and good to compare line by line."""

    def lines(items: list, indent: str) -> str:
        rows = (",\n" + indent).join(json.dumps(item, ensure_ascii=False) for item in items)
        return f"[\n{indent}{rows}\n{indent[:-1]}]" if items else "[]"

    head = [f" {json.dumps(key)}: {json.dumps(result[key])}" for key in ("dataset", "name", "subsample")]
    head += [f' "{key}": {lines(result[key], "  ")}' for key in ("classnames", "test")]
    samples = [
        f'{{"shots": {s["shots"]}, "seed": {s["seed"]},\n   "train": {lines(s["train"], "    ")},\n'
        f'   "val": {lines(s["val"], "    ")}}}'
        for s in result["samples"]
    ]
    head.append(' "samples": [\n  ' + ",\n  ".join(samples) + "\n ]")
    return "{\n" + ",\n".join(head) + "\n}"
