"""The tables of all results with their files, and of the environments in which they were made."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from pandas import DataFrame

from ..collapse import MARK
from .facts import Environment, Facts
from .markup import framed, head
from .naming import shots_text, title

Cell = tuple[str, str]  # HTML, and the value to sort by, "" for the text itself


def link_prefix(folder: Path, page: Path) -> str:
    """The relative address of `folder` in the page: "" or an address that ends in a slash."""
    try:
        way = os.path.relpath(folder.absolute(), page.absolute().parent)
    except ValueError:  # another drive
        return folder.absolute().as_uri() + "/"
    return "" if way == "." else quote(Path(way).as_posix()) + "/"


def all_results(frame: DataFrame, facts: Sequence[Facts], environments: dict[Environment, int], prefix: str) -> str:
    """The table of all results, with rows r0, r1, ... in the order of the frame; empty columns are left out."""
    rows = frame.to_dict("records")
    columns = _columns(facts, environments, prefix)
    cells = [[make(i, row) for _, _, _, make in columns] for i, row in enumerate(rows)]
    used = [k for k in range(len(columns)) if any(row[k][0] not in ("", "-") for row in cells)]
    heads = [head(columns[k][0], numeric=columns[k][1], key=columns[k][2]) for k in used]
    body = []
    for i, (row, made) in enumerate(zip(rows, cells, strict=True)):
        about = f'data-m="{escape(row["label"])}" data-d="{escape(row["dataset"])}" data-p="{escape(row["protocol"])}"'
        body.append(f'<tr id="r{i}" {about}>' + "".join(_td(made[k], columns[k]) for k in used) + "</tr>")
    caption = "One row a result; accuracies in percent."
    if any(row["collapsed"] is True for row in rows):
        caption += f" {MARK}: the run collapsed: its class features nearly coincide."
    return framed(caption, heads, body, "runs-caption", frame="tall")


def _td(cell: Cell, column: tuple) -> str:
    text, value = cell
    look = ' class="n"' if column[1] else ' class="files"' if column[2] == "files" else ""
    look = ' class="n acc"' if column[2] == "accuracy" else look
    sort = f' data-v="{value}"' if value else ""
    return f"<td{look}{sort}>{text}</td>"


def _columns(facts: Sequence[Facts], environments: dict[Environment, int], prefix: str) -> list[tuple]:
    """The columns: (title, whether numeric, key, function of a run's number and row that gives its cell)."""

    def word(key: str) -> Callable:
        return lambda i, row: (escape(str(row[key])), "")

    def percent(key: str) -> Callable:
        def cell(i: int, row: dict) -> Cell:
            if math.isnan(row[key]):
                return "-", ""
            return f"{row[key]:.2f}" + (f" {MARK}" if row["collapsed"] is True else ""), repr(row[key])

        return cell

    def distance(i: int, row: dict) -> Cell:
        value = row["class_feature_distance"]
        return ("-", "") if math.isnan(value) else (f"{value:.3f}", repr(value))

    def files(i: int, row: dict) -> Cell:
        where = prefix + quote(row["folder"]) + ("/" if row["folder"] else "")
        return " ".join(f'<a href="{escape(where)}{name}">{what}</a>' for what, name in facts[i].files.items()), ""

    def environment(i: int, row: dict) -> Cell:
        number = environments[facts[i].environment]
        return f'<a href="#e{number}">E{number}</a>', str(number)

    return [
        ("Protocol", False, "protocol", lambda i, row: (escape(title(row["protocol"])), "")),
        ("Dataset", False, "dataset", word("dataset")),
        ("Method", False, "method", word("label")),
        ("Setting", False, "setting", word("setting")),
        ("Seed", True, "seed", word("seed")),
        ("Accuracy", True, "accuracy", percent("accuracy")),
        ("Attacked", True, "adversarial", percent("adv_accuracy")),
        ("Class distance", True, "class_distance", distance),
        ("Files", False, "files", files),
        ("Macro F1", True, "macro_f1", percent("macro_f1")),
        ("Shots", True, "shots", lambda i, row: (shots_text(row["shots"]).partition(" ")[0], str(row["shots"]))),
        ("Config", False, "cfg", word("cfg")),
        ("Time", True, "seconds", _time),
        ("Memory", True, "memory", _memory),
        ("Environment", False, "environment", environment),
        ("Revision", False, "git", lambda i, row: (revision(row["git"]), "")),
        ("Finished", False, "finished", lambda i, row: (escape(row["finished"][:16].replace("T", " ")), "")),
    ]


def _time(i: int, row: dict) -> Cell:
    seconds = row["seconds"]
    if math.isnan(seconds):
        return "-", ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}", f"{seconds:g}"


def _memory(i: int, row: dict) -> Cell:
    peak = row["peak_memory_bytes"]
    return ("-", "") if peak != peak or peak is None else (f"{int(peak) / 2**30:.2f} GiB", str(int(peak)))


def revision(git: str) -> str:
    """The first digits of a commit as HTML, with "+" if tracked files differed from it."""
    commit, _, changed = git.partition("+")
    if not commit:
        return "-"
    title = f"{commit}, with changes that were not committed" if changed else commit
    return f'<span title="{escape(title)}">{escape(commit[:7])}{"+" if changed else ""}</span>'


def environments_table(environments: dict[Environment, int], facts: Sequence[Facts], frame: DataFrame) -> str:
    """The table of environments: device, backbone, versions, revisions of the code, number of results."""
    packages = list(dict.fromkeys(name for e in environments for name, _ in e.versions))
    titles = ["Environment", "Results", "Revisions", "Device", "Precision", "Backbone", "Weights", *packages]
    made: dict[Environment, list[int]] = {e: [] for e in environments}
    for run, own in enumerate(facts):
        made[own.environment].append(run)
    body = []
    for e, number in environments.items():
        versions = dict(e.versions)
        revisions = ", ".join(revision(git) for git in dict.fromkeys(frame["git"].iloc[made[e]]))
        words = [e.device, e.precision, e.backbone, e.weights, *(versions.get(name, "") for name in packages)]
        cells = [f"E{number}", str(len(made[e])), revisions, *(escape(word or "-") for word in words)]
        body.append(f'<tr id="e{number}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    caption = "What results were made with. Weights: the first digits of the SHA-256 of the backbone's."
    return framed(caption, [head(title) for title in titles], body, "environments-caption")
