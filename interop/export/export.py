"""`python -m trainers export`: copies methods into a checkout of CoOp or MaPLe, where they run on upstream Dassl."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from dassl.utils import InputError

from .install import Installed, install, read_manifest
from .package import Export, collect
from .rewrite import PACKAGE, ROOT

IMPORT, CALL = f"import {PACKAGE}", f"{PACKAGE}.extend_cfg(cfg)"
THERE_ALREADY = {"torch", "torchvision", "numpy", "PIL", "yacs", "tqdm", "sklearn"}  # Dassl needs them, too
NAMES = {"sklearn": "scikit-learn", "PIL": "pillow"}  # import name: name of the package on PyPI


def add_command(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = commands.add_parser("export", help="copy methods into a checkout of CoOp or MaPLe", description=__doc__)
    parser.add_argument("methods", nargs="+", metavar="METHOD", help="registered names (ANPrompt)")
    parser.add_argument("--to", required=True, metavar="CHECKOUT", help="folder of the checkout, where its train.py is")
    parser.add_argument("--force", action="store_true", help="overwrite exported files that were edited there")
    return parser


def run(args: argparse.Namespace) -> str:
    """Export the methods and return a report to print. Raises InputError for a folder that is no checkout."""
    checkout = Path(args.to).expanduser()
    if not os.path.isfile(checkout / "train.py"):
        raise InputError(f"There is no train.py in {args.to}; give the folder of a checkout of CoOp or MaPLe.")
    if checkout.resolve() == ROOT:
        raise InputError(f"{args.to} is this tree itself; give the folder of a checkout of CoOp or MaPLe.")
    before = read_manifest(checkout)["methods"]
    methods = list(dict.fromkeys([*before, *args.methods]))
    export = collect(methods)
    return report(export, install(export.files, methods, checkout, args.force), checkout, before)


def report(export: Export, done: Installed, checkout: Path, before: list[str]) -> str:
    """The text that says what was written, and what the user must still do."""
    size = sum(len(content) for content in export.files.values())
    folders = sorted({path.rpartition("/")[0] for path in export.files if path.startswith("configs/")})
    lines = [
        f"{', '.join(export.methods)} in {checkout}: {len(export.files)} files, {size / 1e6:.1f} MB, in {PACKAGE}/"
        f"{''.join(f', {folder}/' for folder in folders)}",
        f"written {len(done.written)}, up to date {len(done.same)}, removed {len(done.removed)}",
    ]
    if before:
        lines.append(f"exported before, and with it again: {', '.join(before)}")
    if done.kept:
        lines.append(f"yours, left as they are: {', '.join(done.kept)}")
    text = (checkout / "train.py").read_text(encoding="utf-8", errors="replace")
    if IMPORT in text and CALL in text:
        lines.append("train.py has the two lines that it needs already.")
    else:
        lines += [
            "",
            "Two lines for train.py:",
            f"    {IMPORT}    # beside its other imports",
            f"    {CALL}    # the last line of its extend_cfg(cfg)",
            "",
        ]
    needed = sorted(NAMES.get(name, name) for name in export.others - THERE_ALREADY)
    lines.append(f"It needs Python 3.10, PyTorch 2.6 and, beside what Dassl needs: pip install {' '.join(needed)}")
    return "\n".join(lines)
