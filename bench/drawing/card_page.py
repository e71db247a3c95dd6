"""The robustness card as one HTML page without scripts: the table, all methods as lines, a page a method."""

from __future__ import annotations

from html import escape

from dassl.utils.counted import counted

from ..reading.card import Axis, Card
from .card import notes, overview, page, shown
from .formats import BEST, TextTable

STYLE = """
body{font:14px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#1b1b1b;background:#fff}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .6rem;border-bottom:1px solid #ddd;text-align:left;white-space:nowrap}
td.n,th.n{text-align:right}.best{font-weight:700}.note{color:#555;font-size:12px;margin:.2rem 0}
svg{max-width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:#333}
.line{fill:none;stroke:#bbb;stroke-width:1.2}.mark{fill:#bbb}
.own .line{stroke:#0072b2;stroke-width:2.6}.own .mark{fill:#0072b2}
g.m:hover .line{stroke:#d55e00;stroke-width:3}g.m:hover .mark{fill:#d55e00}.axis{stroke:#888}
@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}th,td{border-color:#3a3a3a}.note{color:#aaa}
svg text{fill:#ccc}.line{stroke:#555}.mark{fill:#555}a{color:#7ab8ff}.own .line{stroke:#56b4e9}.own .mark{fill:#56b4e9}}
"""
WIDTH, HEIGHT, TOP, SIDE = 1100, 250, 26, 50


def html(card: Card, interval: bool = False) -> str:
    """The page as text. Every method's line is on every plot in grey, its own page has it in colour."""
    there = [axis for axis in card.axes if any(not own[axis.name].missing for own in card.figures.values())]
    table = overview(card, (), interval)
    links = " · ".join(f'<a href="#m{i}">{escape(label)}</a>' for i, label in enumerate(card.figures))
    count = counted(len(card.figures), "method")
    parts = [
        f"<h1>Robustness card</h1><p>Backbone {escape(card.backbone)}; {count}.</p>",
        _table(table), *(f'<p class="note">{escape(each)}</p>' for each in notes(card, there, interval)),
        "<h2>All methods</h2>", '<p class="note">Each axis from the worst mean (below) to the best (above). A line '
        "breaks where a method has no figure. Point at a line for its name.</p>", lines(card, there),
        f"<p>{links}</p>",
    ]  # fmt: skip
    for i, label in enumerate(card.figures):
        parts += [f'<h2 id="m{i}">{escape(label)}</h2>', lines(card, there, label), _table(page(card, label))]
    body = "\n".join(parts)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Robustness card</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>{body}</body></html>\n'
    )


def lines(card: Card, axes: list[Axis], own: str = "") -> str:
    """Parallel axes as SVG: a line a method, that of `own` in colour above the others."""
    axes = [axis for axis in axes if axis.higher is not None]
    step = (WIDTH - 2 * SIDE) / max(1, len(axes) - 1)
    drawn = []
    for k, axis in enumerate(axes):
        x = SIDE + k * step
        drawn.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT}"/>')
        y = HEIGHT + 16 + 13 * (k % 2)
        drawn.append(f'<text x="{x:.1f}" y="{y}" text-anchor="middle">{escape(axis.title)}</text>')
        best = next((f for o in card.figures.values() if (f := o[axis.name]).rank == 1), None)
        if best is not None:
            text = f"{best.mean:.{min(axis.digits, 1)}f}"
            drawn.append(f'<text x="{x:.1f}" y="{TOP - 8}" text-anchor="middle">{text}</text>')
    labels = sorted(card.figures, key=lambda label: label == own)
    for label in labels:
        marks, piece, pieces = [], [], []
        for k, axis in enumerate(axes):
            at = _height(card, axis, label)
            if at is None:
                pieces, piece = [*pieces, piece], []
                continue
            x, y = SIDE + k * step, HEIGHT - at * (HEIGHT - TOP)
            piece.append(f"{x:.1f},{y:.1f}")
            title = f"{label}, {axis.title} {shown(axis, card.figures[label][axis.name])}"
            marks.append(
                f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{escape(title)}</title></circle>'
            )
        strokes = [f'<polyline class="line" points="{" ".join(each)}"/>' for each in [*pieces, piece] if len(each) > 1]
        look = "m own" if label == own else "m"
        drawn.append(f'<g class="{look}"><title>{escape(label)}</title>{"".join(strokes)}{"".join(marks)}</g>')
    name = f"{own} among all methods" if own else "All methods"
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 36}" role="img" aria-label="{escape(name)}">{"".join(drawn)}</svg>'


def _height(card: Card, axis: Axis, label: str) -> float | None:
    """Where the method is between worst (0) and best (1) of the axis; None without a figure."""
    figure = card.figures[label][axis.name]
    if figure.missing:
        return None
    means = [f.mean for own in card.figures.values() if not (f := own[axis.name]).missing]
    low, high = min(means), max(means)
    at = 0.5 if low == high else (figure.mean - low) / (high - low)
    return at if axis.higher else 1 - at


def _table(table: TextTable) -> str:
    def cell(i: int, each) -> str:  # noqa: ANN001
        classes = " ".join(filter(None, ["n" if i in table.numbers else "", "best" if each.style == BEST else ""]))
        return f'<td class="{classes}">{escape(str(each))}</td>'

    heads = "".join(
        f'<th class="{"n" if i in table.numbers else ""}">{escape(h)}</th>' for i, h in enumerate(table.headers)
    )
    rows = "".join("<tr>" + "".join(cell(i, c) for i, c in enumerate(row)) + "</tr>" for row in table.rows)
    return f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
