"""python -m trainers list | new NAME [--from HOST] | export METHOD ... --to CHECKOUT

list: the methods. new: starts a method (docs/add_a_method.md). export: takes methods into a checkout of CoOp or MaPLe
(docs/migrate_from_coop.md).
"""

from __future__ import annotations

import argparse
import sys

from dassl.engine import TRAINER_REGISTRY
from dassl.utils.console import tolerant_console
from dassl.utils.ends import one_sentence, parse_words
from dassl.utils.screen import Screen
from interop.export import export, new


def list_methods(args: argparse.Namespace) -> str:
    """A line a method: its name, its file, and the first sentence of its docstring."""
    names = sorted((name for name in TRAINER_REGISTRY.registered_names() if "@" not in name), key=str.casefold)
    methods = [TRAINER_REGISTRY.get(name) for name in names]
    about = {m: " ".join((m.__doc__ or "").split()).partition(". ")[0].rstrip(".") for m in methods}
    return "\n".join(f"{m.__name__:<16} {m.__module__.replace('.', '/') + '.py':<22} {about[m]}" for m in methods)


@one_sentence()
def main(argv: list[str] | None = None) -> None:
    """Exit codes: 0 fine, 2 bad usage or bad input."""
    form = Screen
    parser = argparse.ArgumentParser(prog="python -m trainers", description=__doc__, formatter_class=form)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the methods").set_defaults(run=list_methods)
    for command in (new, export):
        command.add_command(commands).set_defaults(run=command.run)
    args = parse_words(parser, argv)
    print(args.run(args))  # noqa: T201


if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
