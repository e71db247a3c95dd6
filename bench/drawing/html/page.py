"""Makes the report as one HTML page, which contains its style, scripts and data and loads nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

from pandas import DataFrame

from bench.reading.layout import dataset_name
from bench.reading.order import method_order
from dassl.utils.counted import counted
from dassl.utils.spread import words
from datasets.noise.names import spoken

from ..looks import LINES, looks
from . import confusions, markup, training
from .curves import charts
from .facts import Environment, Facts, read_facts
from .naming import named, ordered, title
from .numbers import Entry, entries, spelled
from .runs_table import all_results, environments_table, link_prefix, revision
from .tables import protocol_tables

HERE = Path(__file__).parent
SCRIPTS = ("chart.js", "dots.js", "matrix.js", "tables.js", "script.js")
EXPLAINED = {
    "Numbers": "Accuracy in percent, mean over seeds; ± is {spread}. In bold: the best "
    "of the rows that are compared. An average is over all datasets of its table; what has not finished on all of them "
    "has none, and its spread is that of the seeds' own averages.",
    "A number's runs": "Choose a number to see its runs, with log, config, results, environment and revision.",
    "Seeds": "How many seeds a row's numbers are over; of an average, those that have all of its datasets.",
    "Charts": "Bars and bands are what ± is; of many lines, the band is that of the line under the pointer. Training "
    "curves have the sample standard deviation over seeds. A method has one colour and mark in all charts and figures.",
    "Revisions": "A plus sign marks code that differed from the commit.",
}


@dataclass(frozen=True)
class Section:
    """A section of the page. body: HTML. protocol: its protocol, "" if it is not about one."""

    name: str
    title: str
    body: str
    protocol: str = ""


def page(
    frame: DataFrame, folder: Path, file: Path, title: str, broken: list[str] | None = None, interval: bool = False
) -> str:
    """The HTML for `file`, from the results of `collect(folder)` and the files in the runs' folders.

    broken: sentences on files that could not be read; those on curves and matrices are appended. interval: ± is half
    the width of the 95 % interval instead of the deviation. Equal results give equal pages.
    """
    frame, broken = named(frame), [] if broken is None else broken
    facts = [read_facts(folder / row["folder"], row["backbone"]) for row in frame.to_dict("records")]
    environments = {e: i for i, e in enumerate(dict.fromkeys(f.environment for f in facts), start=1)}
    labels = sorted(dict.fromkeys(frame["label"]), key=method_order)
    methods = {label: i for i, label in enumerate(labels)}
    found = [spelled(entry) for entry in entries(frame, interval)]
    frame = frame.assign(dataset=[dataset_name(name) for name in frame["dataset"]])
    data = {"methods": _looks(labels), "charts": {}}
    sections = _protocols(frame, facts, environments, found, data, methods)
    sections += _evidence(frame, folder, data, methods, broken)
    runs = "".join(f'<p class="note">{escape(sentence)}</p>' for sentence in broken)
    runs += all_results(frame, facts, environments, link_prefix(folder, file))
    sections.append(Section("all", "All results", runs))
    sections.append(Section("environments", "Environments", environments_table(environments, facts, frame)))
    style = "\n" + (HERE / "style.css").read_text(encoding="utf-8")
    script = "\n" + "\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    policy = f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'"
    return Template((HERE / "template.html").read_text(encoding="utf-8")).substitute(
        policy=policy + "; form-action 'none'",
        title=escape(title),
        summary=escape(_summary(frame)),
        style=style,
        script=script,
        data=as_json(data),
        navigation="".join(f'<a href="#{s.name}">{escape(s.title)}</a>' for s in sections),
        sections="\n".join(map(_section, sections)),
        protocols=_options((s.protocol, s.title) for s in sections if s.protocol),
        datasets=_options((d, d) for d in sorted(set(frame["dataset"]))),
        methods=_options((label, label) for label in labels),
        footer=_footer(interval),
    )


def _footer(interval: bool) -> str:
    told = {k: v.format(spread=words(interval)) for k, v in EXPLAINED.items()}
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in told.items()) + "</dl>"


def as_json(value: object) -> str:
    """JSON that is safe inside <script>: characters that begin markup or end a line are escaped."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _protocols(
    frame: DataFrame,
    facts: Sequence[Facts],
    environments: dict[Environment, int],
    found: Sequence[Entry],
    data: dict,
    methods: dict[str, int],
) -> list[Section]:
    """A section with tables and charts for each protocol; the data of the charts are added to `data`."""
    made, count = [], 0
    for protocol in ordered(entry.key.protocol for entry in found):
        own = [entry for entry in found if entry.key.protocol == protocol]
        runs = [i for i, p in enumerate(frame["protocol"]) if p == protocol]
        tables = []
        for table in protocol_tables(protocol, own):
            tables.append(markup.table(table, count, frozenset(i for i in runs if facts[i].failed)))
            count += 1
        drawn = charts(protocol, own, methods)
        data["charts"] |= {protocol: drawn} if drawn else {}
        body = _sides("\n".join(tables), f'<div data-charts="{protocol}"></div>' if drawn else "")
        body = f"{_origin(frame, facts, environments, runs)}\n{body}"
        made.append(Section(protocol, title(protocol), body, protocol))
    return made


def _sides(tables: str, drawn: str) -> str:
    """Tables with the charts of their numbers beside them; without charts the tables beside each other."""
    if not drawn:
        return f'<div class="tables row">{tables}</div>'
    return f'<div class="sides"><div class="tables">{tables}</div>\n{drawn}</div>'


def _origin(frame: DataFrame, facts: Sequence[Facts], environments: dict[Environment, int], runs: Sequence[int]) -> str:
    """Notes on the runs of a section: number, environments, revisions, and reasons not to trust or compare numbers."""
    numbers = sorted({environments[facts[i].environment] for i in runs})
    links = ", ".join(f'<a href="#e{n}">E{n}</a>' for n in numbers)
    revisions = ", ".join(map(revision, dict.fromkeys(frame["git"].iloc[list(runs)])))
    notes = [f"{counted(len(runs), 'result')}; environment {links}; revision {revisions}."]
    for i in runs:
        if facts[i].failed:
            row = frame.iloc[i]
            words = f"{row['label']}, {row['dataset']}, {row['setting']}, seed {row['seed']}"
            codes = ", ".join(facts[i].failed)
            notes.append(escape(f"{words}: failed checks {codes} (†): do not trust its number under attack."))
    for (dataset, kind, rate, seed), rows in frame.iloc[list(runs)].groupby(
        ["dataset", "noise_type", "noise_rate", "seed"], sort=False
    ):
        if rows.loc[rows["noise_hash"] != "", "noise_hash"].nunique() > 1:
            where = f"{dataset}, {spoken(kind)}, rate {rate:g}, seed {seed}"
            notes.append(escape(f"{where}: methods were trained on different wrong labels; do not compare them."))
    return "".join(f'<p class="note">{note}</p>' for note in notes)


def _evidence(frame: DataFrame, folder: Path, data: dict, methods: dict[str, int], broken: list[str]) -> list[Section]:
    """The sections on training curves and confusion matrices.

    Their data are added to `data`, and sentences on damaged files to `broken`.
    """
    data["training"] = training.curves(frame, folder, methods, broken)
    data["matrices"], data["names"], left_out = confusions.matrices(frame, folder, methods, broken)
    made = []
    if data["training"]:
        note = "Means over seeds, one setting at a time. Loss: over the steps of an epoch."
        body = f'<p class="note">{note}</p><div id="training-charts"></div>'
        made.append(Section("training", "Training curves", body))
    if data["matrices"]:
        note = "On the test set, summed over seeds. Rows are true classes; a cell is the share of its row, in percent."
        if left_out:
            note += f" Left out to keep the page small: {counted(left_out, 'setting')}; each run has a confusion.json."
        body = f'<p class="note">{note}</p><div id="matrix-charts"></div>'
        made.append(Section("confusion", "Confusion matrices", body))
    return made


def _looks(labels: Sequence[str]) -> list[list]:
    """[label, [colour, mark, line]] for each label, as in all figures; -1 for grey and for no mark."""
    found = looks(sorted(labels, key=method_order))
    return [[label, [found[label].colour, found[label].mark, LINES.index(found[label].line)]] for label in labels]


def _summary(frame: DataFrame) -> str:
    def count(column: str, one: str) -> str:
        number = frame[column].nunique()
        return f"{number} {one}{'' if number == 1 else 's'}"

    days = sorted(day[:10] for day in frame["finished"] if day)
    when = f", finished {' to '.join(dict.fromkeys((days[0], days[-1])))}" if days else ""
    results = f"{len(frame)} result{'' if len(frame) == 1 else 's'}"
    return f"{results}: {count('method', 'method')}, {count('dataset', 'dataset')}, {count('seed', 'seed')}{when}."


def _section(made: Section) -> str:
    about = f' data-p="{made.protocol}"' if made.protocol else ""
    heading = f"<h2>{escape(made.title)}</h2>"
    return f'<section id="{made.name}"{about} aria-label="{escape(made.title)}">{heading}\n{made.body}</section>'


def _options(values: Iterable[tuple[str, str]]) -> str:
    return "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in values)


def _hash(text: str) -> str:
    """The hash of a script or style for the page's content security policy, which allows no others."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
