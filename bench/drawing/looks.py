"""How a method looks in every figure and in the report: one colour and one mark, whatever else is drawn beside it.

Seven colours after Okabe and Ito's, which can be told apart with any colour vision; darker, so that thin lines stand
out from white paper. A method's place in `ROWS` is its colour
and its mark; methods that papers compare stand in one row or have different colours. A mix-in (SAR, DePT, attacked
training) has its host's colour, with a line and a mark of its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from interop.plugins.names import plain

# blue, vermilion, green, purple, orange, sky, black
COLOURS = ("#0062A8", "#C84E00", "#00906A", "#C55F9B", "#BE8700", "#469AD3", "#000000")
GREY = "#707070"  # what nothing is learned for: zero-shot CLIP
MARKS = ("o", "s", "D", "^", "v", "P", "*", "<", "X", "h")
ROWS = (
    ("CoOp", "ANPrompt", "PromptSRC", "MaPLe", "KgCoOp", "CoCoOp", "TCP"),
    ("AdvPT", "DPSEP", "NLPrompt", "JoAPR", "DeFT", "PTNL", "VisPrompt"),
    ("TextRefiner", "ProGrad", "IVLP", "VPT", "MMRLpp", "CoPrompt", "MMA"),
    ("TPT", "RTPT", "CTPT", "OTPT", "SSTPT", "TPS", "ZERO"),
    ("TAC", "TTC", "BoostAdapter", "MTA", "TDA", "MMRL", "LPpp"),
    ("CLIPLoRA", "APT", "TipAdapterF", "TwoSFS", "FAP", "TipAdapter", "AdvVPT"),
    ("AdvMaPLe", "AdvIVLP", "ProMetaR", "TAPT"),
)
UNLEARNED = {"ZeroshotCLIP": ":", "ZeroshotCLIP2": "--"}
MIX_INS = {"ATPrompt": ("--", 8), "DePT": ("-.", 9), "SAR": ("--", 7), "AT": ("-.", 7)}  # ending: (line, mark)
LINES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Look:
    """colour: of `COLOURS`, -1 for grey; mark: of `MARKS`, -1 for none; line: of matplotlib, "-" and its kin."""

    colour: int
    mark: int
    line: str = "-"

    def style(self) -> dict:
        """Keyword arguments of matplotlib's plot."""
        colour = GREY if self.colour < 0 else COLOURS[self.colour]
        return {"color": colour, "linestyle": self.line, "marker": "" if self.mark < 0 else MARKS[self.mark]}


_PLACES = {name: Look(k, row) for row, names in enumerate(ROWS) for k, name in enumerate(names)}


def look(method: str) -> Look:
    """The look of a registered method, or of the name of its row, such as "CoOp (OPTIM.LR 0.002)". A method from
    outside has a colour drawn from its name."""
    name = plain(method.partition(" (")[0])
    name = name if name in _PLACES else name.partition("-")[0]  # PTNL-GCE is PTNL with another loss
    if name in UNLEARNED:
        return Look(-1, -1, UNLEARNED[name])
    if name in _PLACES:
        return _PLACES[name]
    for ending, (line, mark) in MIX_INS.items():
        host = name.removesuffix(ending)
        if host != name and host in _PLACES:
            return Look(_PLACES[host].colour, mark, line)
    drawn = zlib.crc32(name.encode())
    return Look(drawn % len(COLOURS), drawn // len(COLOURS) % len(MARKS))


def looks(labels: Sequence[str]) -> dict[str, Look]:
    """The look of each label of a figure; labels of one method (its variants) have other lines, then other marks."""
    found: dict[str, Look] = {}
    for label in labels:
        own, taken = look(label), set(found.values())
        start = LINES.index(own.line)
        others = (
            Look(own.colour, (own.mark + turn) % len(MARKS) if own.mark >= 0 else -1, LINES[(start + k) % len(LINES)])
            for turn in range(len(MARKS))
            for k in range(len(LINES))
        )
        found[label] = next((each for each in others if each not in taken), own)
    return found
