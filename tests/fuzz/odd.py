"""Odd values, and what can be done to a tree of dicts and lists, to text and to bytes. All draws come from `rng`."""

from __future__ import annotations

import copy
from random import Random

VALUES = [
    None, "", " ", "None", "null", 0, -1, 1, 3, 0.5, -0.5, 1e30, 1e-30, True, False, "x", "nan", "inf", "1e5", "-1",
    "../x", "/nonexistent/x", "a b", "日本", "x" * 300, [], {}, [[]], [1], ["a", "b"], {"a": 1}, (0.5, 0.5),
    2**40, 10**18,
    float("nan"), float("inf"), "[1, 2", "{}", "{} {}", "'", '"', "$HOME", "~", "*", "\x00", "\n", "a\nb",
    "0x10", "1_000",
]  # fmt: skip


def value(rng: Random, old: object = None) -> object:
    """An odd value, now and then one near the old one."""
    if rng.random() < 0.25 and isinstance(old, (int, float)) and not isinstance(old, bool):
        return rng.choice([-old, old + 1, old * 1000, old / 3, str(old)])
    if rng.random() < 0.2 and isinstance(old, str) and old:
        return rng.choice([old[:-1], old + "x", old.upper(), old.lower(), f" {old} ", [old], old + old])
    if rng.random() < 0.2 and isinstance(old, (list, tuple)):
        return rng.choice([list(old)[:-1], [*old, *old], list(reversed(old)), dict(enumerate(map(str, old)))])
    return copy.deepcopy(rng.choice(VALUES))


def places(tree: object, here: tuple = ()) -> list[tuple]:
    """The paths of all nodes below the root."""
    found = []
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, child in items:
        found += [(*here, key), *places(child, (*here, key))]
    return found


def tree(rng: Random, whole: object) -> tuple[object, str]:
    """(a changed copy, what was done). One node is replaced, removed, renamed or doubled, or the root is."""
    whole = copy.deepcopy(whole)
    paths = places(whole)
    if not paths or rng.random() < 0.05:
        new = value(rng)
        return new, f"all of it becomes {new!r:.60}"
    by_depth = rng.choice(sorted({len(path) for path in paths}))
    path = rng.choice([path for path in paths if len(path) == by_depth])
    parent = whole
    for key in path[:-1]:
        parent = parent[key]
    key, told = path[-1], ".".join(map(str, path))
    deed = rng.choice(["replace", "replace", "replace", "remove", "rename", "double"])
    if deed == "replace":
        parent[key] = value(rng, parent[key])
        return whole, f"{told} becomes {parent[key]!r:.60}"
    if deed == "remove":
        del parent[key]
    elif isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
        deed = "double"
    elif deed == "rename":
        new = rng.choice([str(key) + "x", str(key).lower(), str(key).upper(), ""])
        parent[new] = parent.pop(key)
        deed = f"rename to {new!r}"
    else:
        parent[f"{key}2"] = copy.deepcopy(parent[key])
    return whole, f"{deed} {told}"


def text(rng: Random, lines: list[str]) -> tuple[list[str], str]:
    """A line is removed, doubled, moved, cut, emptied or gets odd words."""
    lines = list(lines) or [""]
    i = rng.randrange(len(lines))
    deed = rng.choice(["remove", "double", "move", "cut", "empty", "words", "join", "blank"])
    if deed == "remove":
        del lines[i]
    elif deed == "double":
        lines.insert(i, lines[i])
    elif deed == "move":
        line = lines.pop(i)
        lines.insert(rng.randrange(len(lines) + 1), line)
    elif deed == "cut":
        lines[i] = lines[i][: rng.randrange(len(lines[i]) + 1)]
    elif deed == "empty":
        lines[i] = ""
    elif deed == "join":
        lines[i : i + 2] = ["".join(lines[i : i + 2])]
    elif deed == "blank":
        lines.insert(i, "   ")
    else:
        words = lines[i].split(" ")
        words[rng.randrange(len(words))] = str(value(rng))
        lines[i] = " ".join(words)
    return lines, f"{deed} line {i + 1}"


def data(rng: Random, content: bytes) -> tuple[bytes, str]:
    """Bytes are cut off, lost, changed or put in front."""
    deed = rng.choice(["cut", "lose", "change", "empty", "mark", "not UTF-8", "zeros", "html"])
    at = rng.randrange(len(content) + 1)
    if deed == "cut":
        return content[:at], f"cut at byte {at}"
    if deed == "lose":
        return content[:at] + content[at + rng.randrange(1, 40) :], f"bytes lost at {at}"
    if deed == "change":
        return content[:at] + rng.randbytes(rng.randrange(1, 8)) + content[at + 1 :], f"bytes changed at {at}"
    new = {
        "empty": b"",
        "mark": b"\xef\xbb\xbf" + content,
        "not UTF-8": content[:at] + b"\xff\xfe" + content[at:],
        "zeros": bytes(len(content)),
        "html": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    }
    return new[deed], deed
