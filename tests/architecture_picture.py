"""python tests/architecture_picture.py: draws docs/images/architecture.svg from the imports of the source."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from import_graph import read_table, sources, storeys

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
LETTER, BOLD, LINE, PAD, GAP, BETWEEN, MARGIN = (
    7.3,
    8.3,
    16,
    9,
    34,
    40,
    12,
)  # pixels; GAP: between rows, BETWEEN: within one
HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w:.0f} {h:.0f}" width="{w:.0f}" height="{h:.0f}" \
font-family="Helvetica, Arial, 'Liberation Sans', sans-serif" font-size="13" fill="#1f2937" role="img">
  <title>The packages from the doors down; an arrow means imports</title>
  <defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">\
<path d="M0 0 8 4 0 8z" fill="#475569"/></marker></defs>
  <rect width="{w:.0f}" height="{h:.0f}" rx="8" fill="#ffffff"/>"""


def svg(labels: Sequence[Sequence[str]], arrows: Sequence[tuple[int, int]]) -> str:
    """The picture. Each package stands below all that import it, as high as that allows.

    labels: the lines of each package's box. arrows: (importing, imported), numbers of `labels`; without a circle.
    """
    depths = [0] * len(labels)
    for _ in labels:
        for upper, lower in arrows:
            depths[lower] = max(depths[lower], depths[upper] + 1)
    rows = [[n for n in range(len(labels)) if depths[n] == depth] for depth in range(max(depths) + 1)]
    wide = [max(len(lines[0]) * BOLD, *(len(line) * LETTER for line in lines)) + 2 * PAD for lines in labels]
    high = [len(lines) * LINE + 2 * PAD for lines in labels]
    width = max(sum(wide[n] for n in row) + BETWEEN * (len(row) - 1) for row in rows) + 2 * MARGIN
    left, top, y = {}, {}, float(MARGIN)
    for row in rows:
        x = (width - sum(wide[n] for n in row) - BETWEEN * (len(row) - 1)) / 2
        for n in row:
            left[n], top[n] = x, y
            x += wide[n] + BETWEEN
        y += max(high[n] for n in row) + GAP
    parts = [HEAD.format(w=width, h=y - GAP + MARGIN), '  <g fill="none" stroke="#475569" marker-end="url(#head)">']
    for upper, lower in arrows:
        x1, y1 = left[upper] + wide[upper] / 2, top[upper] + high[upper]
        x2, y2 = left[lower] + wide[lower] / 2, top[lower] - 1
        y0, half = y2 + 1 - GAP, y2 - GAP / 2  # straight down to the last gap, beside what lies between
        parts.append(
            f'    <path d="M{x1:.0f} {y1:.0f}V{y0:.0f}C{x1:.0f} {half:.0f} {x2:.0f} {half:.0f} {x2:.0f} {y2:.0f}"/>'
        )
    parts.append("  </g>")
    for n, lines in enumerate(labels):
        box = f'x="{left[n]:.0f}" y="{top[n]:.0f}" width="{wide[n]:.0f}" height="{high[n]:.0f}"'
        parts.append(f'  <rect {box} rx="5" fill="#eef2ff" stroke="#4f5bd5"/>')
        for number, line in enumerate(lines):
            bold = ' font-weight="bold"' if number == 0 else ""
            at = f'x="{left[n] + PAD:.0f}" y="{top[n] + PAD + LINE * (number + 0.75):.0f}"'
            parts.append(f"  <text {at}{bold}>{escape(line)}</text>")
    return "\n".join([*parts, "</svg>", ""])


def drawn() -> str:
    """The picture of the source as it is."""
    return svg(*storeys(sources(ROOT), read_table(PAGE.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    PICTURE.write_text(drawn(), encoding="utf-8")
