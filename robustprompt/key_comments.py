"""What the source says of each config key: the comment behind the key's default, or the lines above it."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOMS = ("dassl", "attacks", "clipkit", "datasets", "language", "trainers", "runs")
NODE = re.compile(r"[\"']TRAINER\.(\w+)")


class Said(NamedTuple):
    """A comment at the default of a key. key: as far as the source writes it out, such as PREC of `N + "PREC"`."""

    key: str
    text: str


def comments_of(source: str) -> Iterator[Said]:
    """The comments beside `"KEY": default` of dicts (nested ones too) and `cfg.KEY = default`."""
    lines = _comments(source)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if key is not None and (name := _written(key)) and (text := _beside(lines, key, value)):
                    yield Said(name, text)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            target = ast.unparse(node.targets[0])
            if target.startswith("cfg.") and (text := _beside(lines, node, node.value)):
                yield Said(target.removeprefix("cfg."), text)


class Source:
    """All comments of the project, by key."""

    def __init__(self, root: Path) -> None:
        self.files: list[tuple[set[str], dict[str, str]]] = []  # (nodes of methods that the file names, {key: comment})
        for room in ROOMS:
            for file in sorted((root / room).rglob("*.py")):
                text = file.read_text(encoding="utf-8")
                found = {said.key: said.text for said in reversed(list(comments_of(text)))}
                self.files.append((set(NODE.findall(text)), found))

    def meaning(self, key: str) -> str:
        """The comment of a dotted key, "" for none. A method's may be in parts, in a file that names its node."""
        parts = key.split(".")
        for start in range(len(parts) if parts[0] == "TRAINER" and len(parts) > 2 else 1):
            tail = ".".join(parts[start:])
            for nodes, found in self.files:
                if tail in found and (start == 0 or parts[1] in nodes):
                    return found[tail]
        return ""


def _written(key: ast.expr) -> str:
    """The text of a key, of the last part of a sum or an f-string where it is one; "" for another expression."""
    if isinstance(key, ast.BinOp):
        key = key.right
    if isinstance(key, ast.JoinedStr) and key.values:
        key = key.values[-1]
    text = key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else ""
    return text.strip(".") if re.fullmatch(r"\.?\w+(\.\w+)*", text) else ""


def _comments(source: str) -> Mapping[int, tuple[str, bool]]:
    """{line: (comment, whether it is alone on the line)}."""
    found = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            text = token.string.lstrip("# ").strip()
            found[token.start[0]] = (text, not token.line[: token.start[1]].strip())
    return found


def _beside(lines: Mapping[int, tuple[str, bool]], first: ast.AST, last: ast.AST) -> str:
    """The comment on the last line of an entry, or those alone on the lines above it."""
    start, end = getattr(first, "lineno", 0), getattr(last, "end_lineno", 0)
    if end in lines and start == end:
        text = lines[end][0]
    else:
        above: list[str] = []
        while (line := start - 1 - len(above)) in lines and lines[line][1]:
            above.append(lines[line][0])
        text = " ".join(reversed(above))
    return "" if text.startswith(("noqa", "type:", "fmt:")) else text
