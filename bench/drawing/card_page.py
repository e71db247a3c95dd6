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
svg{width:100%;min-width:700px;height:auto}svg text{font:11px system-ui,sans-serif;fill:#333}
.line{fill:none;stroke:#bbb;stroke-width:1.2}.mark{fill:#bbb}
.own .line{stroke:#0072b2;stroke-width:2.6}.own .mark{fill:#0072b2}
g.m:hover .line{stroke:#d55e00;stroke-width:3}g.m:hover .mark{fill:#d55e00}.axis{stroke:#888}
.leader{fill:none;stroke:#ddd;stroke-width:.8}
g.m:hover text{fill:#d55e00;font-weight:700}.own text{fill:#0072b2;font-weight:700}
@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}th,td{border-color:#3a3a3a}.note{color:#aaa}
svg text{fill:#ccc}
.leader{stroke:#333}
.own text{fill:#56b4e9}.line{stroke:#555}.mark{fill:#555}a{color:#7ab8ff}
.own .line{stroke:#56b4e9}.own .mark{fill:#56b4e9}}
"""
WIDTH, HEIGHT, TOP, SIDE = 1100, 250, 26, 40
NAMES, GAP = 150, 13  # the width of the column of names, and the least height between two


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
        "breaks where a method has no figure. Point at a line or a name to see which it is.</p>", lines(card, there),
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
    """Parallel axes as SVG: a line a method, that of `own` in colour above the others, and its name at its end."""
    axes = [axis for axis in axes if axis.higher is not None]
    height = max(HEIGHT, TOP + GAP * len(card.figures))
    step = (WIDTH - SIDE - NAMES) / max(1, len(axes) - 1)
    drawn = [_axis(card, axis, SIDE + k * step, height, k % 2) for k, axis in enumerate(axes)]
    spots = {label: _spots(card, axes, label, step, height) for label in card.figures}
    ends = _apart({label: [s for s in own if s][-1] for label, own in spots.items() if any(own)}, height)
    for label in sorted(ends, key=lambda label: label == own):
        marks, pieces = [], []
        for k, (axis, spot) in enumerate(zip(axes, spots[label], strict=True)):
            if spot is None:
                continue
            before = spots[label][k - 1] if k else None
            pieces = [*pieces[:-1], [*pieces[-1], spot]] if before else [*pieces, [spot]]
            title = escape(f"{label}, {axis.title} {shown(axis, card.figures[label][axis.name])}")
            marks.append(
                f'<circle class="mark" cx="{spot[0]:.1f}" cy="{spot[1]:.1f}" r="3"><title>{title}</title></circle>'
            )
        (x, y), at = next(s for s in reversed(spots[label]) if s), ends[label]
        leader = f'<polyline class="leader" points="{x + 4:.1f},{y:.1f} {WIDTH - NAMES + 14},{at:.1f}"/>'
        name = f'<text x="{WIDTH - NAMES + 18}" y="{at + 4:.1f}">{escape(label)}</text>'
        look = "m own" if label == own else "m"
        body = "".join([*map(_line, pieces), leader, *marks, name])
        drawn.append(f'<g class="{look}"><title>{escape(label)}</title>{body}</g>')
    title = f"{own} among all methods" if own else "All methods"
    box = f'<svg viewBox="0 0 {WIDTH} {height + 50}" role="img" aria-label="{escape(title)}">{"".join(drawn)}</svg>'
    return f'<div class="wide">{box}</div>'


def _line(points: list[tuple[float, float]]) -> str:
    return f'<polyline class="line" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


def _axis(card: Card, axis: Axis, x: float, height: float, lower: int) -> str:
    """One axis with its title below, the best mean above it and the worst at its foot. lower: 1 for a lower title."""
    means = [f.mean for own in card.figures.values() if not (f := own[axis.name]).missing]
    best, worst = (max(means), min(means)) if axis.higher else (min(means), max(means))
    texts = [(TOP - 8, f"{best:.{min(axis.digits, 1)}f}"), (height + 14, f"{worst:.{min(axis.digits, 1)}f}")]
    texts.append((height + 30 + 13 * lower, axis.title))
    found = [f'<text x="{x:.1f}" y="{y}" text-anchor="middle">{escape(text)}</text>' for y, text in texts]
    return f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{height}"/>{"".join(found)}'


def _spots(card: Card, axes: list[Axis], label: str, step: float, height: float) -> list[tuple[float, float] | None]:
    """Where the method's line meets each axis; None where it has no figure."""
    found: list[tuple[float, float] | None] = []
    for k, axis in enumerate(axes):
        at = _height(card, axis, label)
        found.append(None if at is None else (SIDE + k * step, height - at * (height - TOP)))
    return found


def _apart(ends: dict[str, tuple[float, float]], height: float) -> dict[str, float]:
    """The height of each name: that of the line's end, moved so that no two names touch and all lie on the picture."""
    order = sorted(ends, key=lambda label: ends[label][1])
    found: dict[str, float] = {}
    lowest = TOP - GAP
    for label in order:
        lowest = found[label] = max(ends[label][1], lowest + GAP)
    highest = height + GAP
    for label in reversed(order):
        highest = found[label] = min(found[label], highest - GAP)
    return found


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
