"""The commands that the documents show: code lines, and what stands between backticks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OTHER_PLACES = ("README.md", "CONTRIBUTING.md", "datasets/embedded/README.md", "clipkit/embedded/README.md")
OF_THE_CODE = ("reference",)  # pages that are written from the commands themselves
# What a line of code begins with that is a command; others are output, files or settings.
INLINE = {"bash", "mkdocs", "pip", "python", "python3", "robustprompt", "uv"}  # in running text: with further words
PROGRAMS = INLINE | {
    "apt-get", "cd", "cp", "export", "flock", "for", "git", "sbatch", "scontrol", "squeue", "srun", "tail",
    "tensorboard",
}  # fmt: skip
ASSIGNED = re.compile(r"([A-Z_]+)=(\S*)")


@dataclass(frozen=True)
class Command:
    """place: document:line. given: (variable, value) before it. words: the program and what follows."""

    place: str = field(compare=False)
    given: tuple[tuple[str, str], ...]
    words: tuple[str, ...]

    @property
    def line(self) -> str:
        """With variables filled in, without comment: what rules look at."""
        return " ".join([*(f"{name}={value}" for name, value in self.given), *self.words])


def documents() -> list[Path]:
    pages = [page for page in sorted((ROOT / "docs").rglob("*.md")) if page.parent.name not in OF_THE_CODE]
    return [*(ROOT / name for name in OTHER_PLACES), *pages]


def commands() -> list[Command]:
    """Each command once, in the order of the documents."""
    found: dict[Command, Command] = {}
    for document in documents():
        for command in commands_of(document):
            found.setdefault(command, command)
    return list(found)


def commands_of(document: Path) -> Iterator[Command]:
    name = str(document.relative_to(ROOT))
    kept: dict[str, str] = {}
    for number, text, code in _pieces(document.read_text(encoding="utf-8").splitlines()):
        for part in re.split(r" && ", text) if code else [text]:
            for variable, value in kept.items():
                part = re.sub(rf"\${variable}\b", value, part)
            try:
                words = shlex.split(part.removeprefix("$ "), comments=code)
            except ValueError:  # a quotation mark of prose
                continue
            given = []
            while words and (match := ASSIGNED.fullmatch(words[0])):
                given.append((match[1], match[2]))
                words.pop(0)
            if code and given and not words:
                kept |= given
            if not words or words[0].removeprefix(".venv/bin/") not in (PROGRAMS if code else INLINE):
                continue
            if code or (len(words) > 1 and not words[1].endswith(",")):
                yield Command(f"{name}:{number}", tuple(given), tuple(words))


def _pieces(lines: list[str]) -> Iterator[tuple[int, str, bool]]:
    """(line number, text, whether it is code): whole commands, and what stands between backticks in running text."""
    fence, waiting = None, ""
    for number, line in enumerate(lines, start=1):
        if line.lstrip().startswith("```"):
            fence = None if fence is not None else line.strip()[3:]
        elif fence in ("", "bash", "sh", "console") or (fence is None and line.startswith("    ")):
            waiting = f"{waiting} {line.strip()}".strip()
            if waiting.endswith("\\"):
                waiting = waiting[:-1].strip()
                continue
            yield number, waiting, True
            waiting = ""
        elif fence is None:
            yield from ((number, piece, False) for piece in re.findall(r"`([^`]+)`", line))
