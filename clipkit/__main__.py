"""Lists and fetches backbones; shows, verifies and clears cached features; describes checkpoints, and converts them
between the form of this project (learnable tensors only) and that of the methods' reference implementations (all
weights of CLIP).

python -m clipkit list 'ViT-B-16*'
python -m clipkit fetch open_clip:ViT-B-16:laion2b_s34b_b88k --to clip/laion
python -m clipkit cache show
python -m clipkit info output/x/seed1/prompt_learner/model.pth.tar-50
python -m clipkit export output/x/seed1/prompt_learner/model.pth.tar-50 --full --classes names.txt --output full.tar
python -m clipkit export full.tar --learnable --output slim.tar
"""

from __future__ import annotations

import argparse
import io
import logging
import sys
from pathlib import Path

from .errors import InputError


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m clipkit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    names = commands.add_parser("list", help="names for MODEL.BACKBONE.NAME")
    names.add_argument("pattern", nargs="?", default="", metavar="PATTERN", help="a part of the name, or with * and ?")
    fetch = commands.add_parser("fetch", help="put an open_clip model into a folder, for nodes without internet")
    fetch.add_argument("name", metavar="NAME", help="open_clip:MODEL:TAG or hf-hub:ORG/NAME")
    fetch.add_argument("--to", required=True, metavar="FOLDER", help="then MODEL.BACKBONE.NAME local-dir:FOLDER")
    cache = commands.add_parser("cache", help="the cached features of images and texts (ROBUSTPROMPT_CACHE)")
    cache.add_argument("action", nargs="?", default="show", choices=("show", "verify", "clear"))
    info = commands.add_parser("info", help="keys, shapes, sizes and record of a checkpoint")
    info.add_argument("file", metavar="FILE")
    info.add_argument("--keys", action="store_true", help="list the frozen weights one by one")
    export = commands.add_parser("export", help="convert a checkpoint")
    export.add_argument("checkpoint", metavar="CHECKPOINT")
    form = export.add_mutually_exclusive_group(required=True)
    form.add_argument("--full", action="store_true", help="to the form of the reference implementations")
    form.add_argument("--learnable", action="store_true", help="to the learnable tensors alone")
    export.add_argument("--output", required=True, metavar="FILE")
    export.add_argument("--backbone", default="", help="name or file; default: what the checkpoint says")
    export.add_argument(
        "--backbone-spec", default="", metavar="SPEC", help="a file's structure: openai, or open_clip's JSON"
    )
    export.add_argument(
        "--classes", default="", metavar="FILE", help="class names, one per line; default: the checkpoint's"
    )
    export.add_argument("--precision", default="fp16", choices=("fp16", "fp32"), help="type of the frozen weights")
    export.add_argument("--template", default="{ctx} {name}.", help="text of a prompt (TCP's differ by dataset)")
    export.add_argument("--context", default="", help='words of the context, such as "a photo of a"')
    return parser


def main(args: argparse.Namespace) -> str:
    """Runs the command; returns the text to print."""
    if args.command == "list":
        return _list(args.pattern)
    if args.command == "fetch":
        from .open_clip_names import PREFIXES, write_folder

        if not args.name.startswith(PREFIXES[:2]):
            raise InputError(f"{args.name!r} is no name to fetch: give open_clip:MODEL:TAG or hf-hub:ORG/NAME")
        files = write_folder(args.name, Path(args.to).expanduser())
        return f"{args.to}: {', '.join(file.name for file in files)}\nMODEL.BACKBONE.NAME local-dir:{args.to}"
    if args.command == "cache":
        from .cache_command import cache_command

        return cache_command(args.action)
    from .describe import describe  # imported here: torch takes seconds that --help need not pay
    from .export import full_checkpoint, learnable_checkpoint, write_checkpoint
    from .files import check_writable

    if args.command == "info":
        return describe(args.file, args.keys)
    if Path(args.output).resolve() == Path(args.checkpoint).resolve():
        raise InputError(f"--output {args.output} is the checkpoint itself: give another name")
    check_writable(Path(args.output), "--output")
    if args.learnable:
        checkpoint = learnable_checkpoint(args.checkpoint)
    else:
        names = _read_names(args.classes) if args.classes else []
        options = (args.precision, args.template, args.context, args.backbone_spec)
        checkpoint = full_checkpoint(args.checkpoint, args.backbone, names, *options)
    write_checkpoint(checkpoint, args.output)
    before, after = (Path(p).stat().st_size for p in (args.checkpoint, args.output))
    return f"{args.output}: {len(checkpoint['state_dict'])} tensors, {after:,} bytes (from {before:,})"


def _list(pattern: str) -> str:
    """A table of the names that hold the pattern; those of open_clip only where it is installed."""
    from tabulate import tabulate

    from .architecture import available_backbones
    from .open_clip_names import listed

    own = [(name, "A: OpenAI's layout", "") for name in available_backbones() if pattern.lower() in name.lower()]
    note = ""
    try:
        rows = [*own, *listed(pattern)]
    except InputError as error:
        rows, note = own, f"\n{error}"
    if not rows:
        raise InputError(f"No backbone's name holds {pattern!r}{note}: leave the pattern out to see all")
    return tabulate(rows, ["MODEL.BACKBONE.NAME", "family", "not known here"]) + note


def _read_names(file: str) -> list[str]:
    try:
        names = [line.strip() for line in Path(file).read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"Class names cannot be read from {file} ({error}): give a text file, one name per line"
        ) from error
    if not names:
        raise InputError(f"{file} holds no class names: it should hold one per line")
    return names


def run(argv: list[str] | None = None) -> int:
    """The command line: bad input ends with one sentence and exit code 2."""
    parser, words = build_parser(), sys.argv[1:] if argv is None else argv
    if not words:  # the list of commands
        parser.print_help(sys.stderr)
        return 2
    args = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        print(main(args))  # noqa: T201
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):  # what the terminal cannot show comes out as an escape
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run())
