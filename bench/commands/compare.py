"""Published numbers beside ours: python -m bench compare OUTPUT --paper anprompt --table 1"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dassl.utils import InputError

from ..running.given import GivenPath

FORMATS = ("terminal", "markdown", "latex", "csv")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds `compare` to the commands of `python -m bench`."""
    made = subparsers.add_parser(
        "compare", help="published numbers beside ours", description="Puts published numbers beside those of OUTPUT."
    )
    made.add_argument("output", action=GivenPath, metavar="OUTPUT", help="folder of the runs")
    made.add_argument("--paper", default="all", help="anprompt, dpsep, sar, rtpt or all (default)")
    made.add_argument("--table", metavar="T", help="only this table, such as 1 (default: all)")
    made.add_argument("--datasets", nargs="+", default=[], metavar="D", help="only these datasets (or average)")
    made.add_argument("--methods", nargs="+", default=[], metavar="M", help="only these methods, as papers name them")
    made.add_argument("--found", action="store_true", help="only published numbers for which OUTPUT has a result")
    made.add_argument("--interval", action="store_true", help="± is half the mean's 95 %% interval (Student's t)")
    made.add_argument("--format", default="terminal", choices=FORMATS)
    made.add_argument(
        "--output", dest="file", action=GivenPath, metavar="FILE", help="write to this file, not to the screen"
    )
    made.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print or write the comparison. Returns the exit code: 0, or 1 if broken results were left out.

    Raises InputError for bad input.
    """
    from ..comparing.comparison import compare
    from ..comparing.published import choose
    from ..reading.collect import collect
    from ..reading.files import no_results

    broken: list[str] = []
    if args.table is not None and not args.table.strip():
        raise InputError("--table is empty; give a table such as 1, or leave it out.")
    chosen = choose(args.paper, args.table or "")
    frame = collect(args.output, broken)
    if frame.empty:
        raise no_results(args.output, *broken)
    found = [(paper, tables, compare(frame, args.output, paper, tables)) for paper, tables in chosen]
    found = _narrow(found, args)
    if args.found and all(rows.empty for *_, rows in found):
        told = [*broken, "None of these published numbers has one of ours.", _hint(frame, found)]
        raise InputError(" ".join(filter(None, told)))
    text = _csv(found) if args.format == "csv" else _text(found, args.format, args.interval)
    if args.file:
        _write(args.file, text)
    else:
        print(text, end="")  # noqa: T201
    for sentence in broken:
        print(f"left out: {sentence}", file=sys.stderr)  # noqa: T201
    if hint := _hint(frame, found):
        print(hint, file=sys.stderr)  # noqa: T201
    return 1 if broken else 0


def _narrow(found: list, args: argparse.Namespace) -> list:
    """Only the rows of the given datasets and methods. Raises InputError for an unknown one, and names the known."""
    import pandas as pd

    from ..reading.layout import dataset_name

    everything = pd.concat([rows for *_, rows in found])
    spelled = {dataset_name(name): name for name in everything["dataset"]}  # as the tables show them
    args.datasets = [spelled.get(name, name) for name in args.datasets]
    for option, column in (("datasets", "dataset"), ("methods", "method")):
        known = list(dict.fromkeys(everything[column]))
        if unknown := [name for name in getattr(args, option) if name not in known]:
            raise InputError(f"--{option} {unknown[0]} is in none of these tables; they have {', '.join(known)}.")
    narrowed = []
    for paper, tables, rows in found:
        for option, column in (("datasets", "dataset"), ("methods", "method")):
            if wanted := getattr(args, option):
                rows = rows[rows[column].isin(wanted)]
        narrowed.append((paper, tables, rows[rows["ours"].notna()] if args.found else rows))
    return narrowed


def _write(file: Path, text: str) -> None:
    from ..reading.files import write_text

    try:
        write_text(file, text)
    except OSError as error:
        raise InputError(f"{file} cannot be written ({error.strerror or error}); name another file.") from error


def _csv(found: list) -> str:
    import pandas as pd

    return pd.concat([rows for *_, rows in found]).to_csv(index=False, lineterminator="\n")


def _text(found: list, form: str, interval: bool) -> str:
    from ..comparing.tables import legend, text_tables

    parts = []
    for paper, tables, rows in found:
        made = [text for t in tables for text in text_tables(t, rows[rows["table"] == t.table], interval)]
        parts.append(_paper(paper, tables, made, form) if made else "")
    comment = "% " if form == "latex" else ""
    body = "\n".join(filter(None, parts)) or "None of these numbers has one of ours.\n"
    return f"{body}\n{comment}{legend(interval)}\n"


def _paper(paper, tables, made, form: str) -> str:
    """The text of a paper's tables, with its source and notes above."""
    from ..drawing.formats import escape_markdown, render

    lines = [f"{paper.title} ({paper.source}).", *paper.notes]
    lines += [f"{t.name}: {t.provenance}" for t in tables if t.provenance != f"{paper.title}; {paper.source}"]
    if form == "markdown":
        lines = [f"# {escape_markdown(lines[0])}", "", *(f"- {escape_markdown(line)}" for line in lines[1:])]
    elif form == "latex":
        lines = [f"% {line}" for line in lines]
    return "\n".join(lines) + "\n\n" + render(made, form)


def _hint(frame, found: list) -> str:
    """If all runs lie in subfolders, and so count as variants: a sentence that names the folders to give instead."""
    if any(rows["ours"].notna().any() for *_, rows in found) or (frame["variant"] == "").any():
        return ""
    tops = sorted({variant.partition("/")[0] for variant in frame["variant"]})
    return f"Nothing to compare: the runs lie in folders below, {', '.join(tops[:5])}; name one of these."
