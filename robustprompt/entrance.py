"""One entrance to all commands. A word leads to the command behind it, with the other words as they are.

No package is imported for that which is not in the tree, so that help comes at once, and `doctor` without torch too.
"""

from __future__ import annotations

import argparse
import difflib
import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

from dassl.utils.ends import one_sentence
from dassl.utils.screen import Screen

from .doors import DOORS, GROUPS

NAME = "robustprompt"
ROOT = Path(__file__).resolve().parent.parent
HELP = ("-h", "--help")
WIDTH = 90  # of examples, which go on in a further line
PARTS = ("robustprompt/__main__.py", "train.py", "bench/__main__.py", "configs/suites")  # what a checkout has


@one_sentence()
def main(argv: Sequence[str] | None = None) -> int:
    """Lead to the command that the first word names; it ends by SystemExit with its own exit code, and so does --help.

    Returns the exit code of the entrance's own words: 0 fine, 1 the doctor found problems, 2 bad input.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in HELP:
        print(overview(), file=sys.stdout if words else sys.stderr)  # noqa: T201
        return 0 if words else 2
    word, *rest = words
    if word not in DOORS:
        print(f"error: there is no word {word!r}; the nearest is `{NAME} {nearest(word)}`.", file=sys.stderr)  # noqa: T201
        return 2
    try:
        return _through(word, rest) if DOORS[word].target else _own(word, rest)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if not package or (ROOT / package).exists() or (ROOT / f"{package}.py").exists():
            raise  # a mistake of this project
        what = f"{sys.executable} has no package {package}; python -m {NAME} doctor says what to do"
        print(f"error: {what}.", file=sys.stderr)  # noqa: T201
        return 2


def installed() -> int:
    """The console script `robustprompt` that pip installs: `python -m robustprompt` of the checkout it is called in.

    The commands are the checkout's, since packages named `datasets` and `trainers` belong to others too and are never
    installed. Returns 2 where there is no checkout; else this process becomes the other command.
    """
    here = Path.cwd()
    if missing := [part for part in PARTS if not (here / part).exists()]:
        print(  # noqa: T201
            f"error: {here} is not a checkout of RobustPrompt (there is no {missing[0]}); cd to one, "
            f"and call {NAME} there.",
            file=sys.stderr,
        )
        return 2
    return os.execv(sys.executable, [sys.executable, "-m", NAME, *sys.argv[1:]])


def overview() -> str:
    """All words, in groups, on one screen."""
    lines = [f"usage: python -m {NAME} WORD [ARGUMENT ...]    (WORD --help says more)"]
    for group, doors in GROUPS.items():
        lines += ["", group, *(f"  {word:<14} {door.does}" for word, door in doors.items())]
    return "\n".join([*lines, "", f"example: python -m {NAME} {DOORS['plan'].example}"])


def nearest(word: str) -> str:
    """The word of the entrance, or of a command behind it ("data prepare"), that is most like this one."""
    known = {name: name for name in DOORS}
    for name, door in DOORS.items():
        known = {after: f"{name} {after}" for after in door.then} | known
    return known[max(known, key=lambda name: difflib.SequenceMatcher(None, word.lower(), name).ratio())]


def _through(word: str, rest: list[str]) -> int:
    """Run the command as `python -m` does, in this process: its exit code, Ctrl-C and streams are its own."""
    module, *first = DOORS[word].target.split()
    before = sys.argv
    sys.argv = [module, *first, *rest]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if rest in (["-h"], ["--help"]) and not end.code:
            print(_below_help(word))  # noqa: T201
        raise
    finally:
        sys.argv = before
    return 0


def _below_help(word: str) -> str:
    """Beneath a command's own help, where a reader of a long one looks last."""
    door = DOORS[word]
    example = door.example if door.example.startswith("eval") else f"python -m {NAME} {door.example}"
    same = f"\nthe same command: python -m {door.target}" if door.target else ""
    return "\n" + " \\\n    ".join(wrap(f"example: {example}", WIDTH, break_on_hyphens=False)) + same


def _own(word: str, rest: list[str]) -> int:
    form = Screen
    parser = argparse.ArgumentParser(
        prog=f"python -m {NAME} {word}", description=DOORS[word].does, epilog=_below_help(word).strip(),
        formatter_class=form,
    )  # fmt: skip
    if word == "list":
        parser.add_argument("what", nargs="?", choices=DOORS[word].then, help="default: all four")
        parser.add_argument("--names", action="store_true", help="names alone, one a line")
    if word == "doctor":
        parser.add_argument("--root", default="data", help="folder of the datasets (default: data)")
        parser.add_argument("--output", default="output", help="folder of the runs (default: output)")
        parser.add_argument(
            "--calibrate", nargs="*", metavar="DATASET",
            help="test zero-shot CLIP on these datasets, or on all that are there, beside the published accuracies",
        )  # fmt: skip
        parser.add_argument(
            "--backbone", default="ViT-B/16", help="for --calibrate: ViT-B/16 (default), RN50, Embedded"
        )
    args = parser.parse_args(rest)

    if word == "completion":
        from .completion import completion

        text, code = completion(), 0
    elif word == "list":
        from .listing import listing

        text, code = listing([args.what] if args.what else DOORS[word].then, args.names), 0
    elif args.calibrate is not None:
        from .calibrate import calibrate

        root, output = (Path(each).expanduser().absolute() for each in (args.root, args.output))
        text, code = calibrate(root, output / "calibration", args.backbone, args.calibrate)
    else:
        from .doctor import examination

        text, code = examination(Path(args.root).expanduser(), Path(args.output).expanduser())
    print(text)  # noqa: T201
    return code
