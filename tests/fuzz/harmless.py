"""Changes that must not matter: another spelling of the same command or file. The answer is the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import yaml
from world import RUN, replace

Change = Callable[[Path, list[str]], list[str] | None]  # (the case's folder, argv) -> argv, None: as it is


def words(*extra: str) -> Change:
    return lambda folder, argv: [*argv, *extra]


def absolute(folder: Path, argv: list[str]) -> list[str]:
    return [str(folder / word) if word in ("data", "out", "clip.safetensors", RUN) else word for word in argv]


def one_word(folder: Path, argv: list[str]) -> list[str]:
    """--seed=1"""
    i = argv.index("--seed")
    return [*argv[:i], f"--seed={argv[i + 1]}", *argv[i + 2 :]]


def pairs_twice(folder: Path, argv: list[str]) -> list[str]:
    return [*argv, *argv[argv.index("DATASET.NAME") :]]


def pairs_backwards(folder: Path, argv: list[str]) -> list[str]:
    i = argv.index("DATASET.NAME")
    pairs = list(zip(argv[i::2], argv[i + 1 :: 2], strict=True))
    return [*argv[:i], *(word for pair in reversed(pairs) for word in pair)]


def json_file(name: str, **layout: object) -> Change:
    """Other indents, other order of keys."""

    def change(folder: Path, argv: list[str]) -> None:
        tree = json.loads((folder / name).read_text())
        if isinstance(tree, dict):
            tree = dict(reversed(tree.items()))
        replace(folder / name, json.dumps(tree, **layout).encode())

    return change


def yaml_file(name: str) -> Change:
    """Keys in another order, comments, no final newline."""

    def change(folder: Path, argv: list[str]) -> None:
        tree = yaml.safe_load((folder / name).read_text())
        text = "# a comment\n\n" + yaml.safe_dump(
            dict(reversed(tree.items())), sort_keys=False, default_flow_style=None
        )
        replace(folder / name, text.rstrip().encode())

    return change


def text_file(name: str, old: str, new: str, mark: bool = False) -> Change:
    def change(folder: Path, argv: list[str]) -> None:
        text = (folder / name).read_text().replace(old, new)
        replace(folder / name, b"\xef\xbb\xbf" * mark + text.encode())

    return change


SPLIT = "data/tiny/split_zhou_Tiny.json"
# (entry, what is changed): how
CHANGES: dict[tuple[str, str], Change] = {
    ("train", "absolute paths"): absolute,
    ("train", "--seed=1"): one_word,
    ("train", "pairs twice"): pairs_twice,
    ("train", "pairs backwards"): pairs_backwards,
    ("train", "more lines"): words("TRAIN.PRINT_FREQ", "7", "VERBOSE", "False"),
    ("train", "no feature bank"): words("TEST.FEATURE_BANK", "False"),
    ("train", "no bank of training crops"): words("TRAIN.FEATURE_BANK", "False"),
    ("train", "per-class results"): words("TEST.PER_CLASS_RESULT", "True"),
    ("train", "size as a list"): words("INPUT.SIZE", "[16, 16]"),
    ("train", "split indented"): json_file(SPLIT, indent=3),
    ("train, YAML", "YAML rewritten"): yaml_file("method.yaml"),
    ("train, YAML", "Windows' ends of lines"): text_file("method.yaml", "\n", "\r\n"),
    ("test", "absolute paths"): absolute,
    ("ANPrompt", "cache indented"): json_file("cache.json", indent=1),
    ("predict", "absolute paths"): absolute,
    ("predict", "record indented"): json_file(f"{RUN}/results.json", indent=5),
    ("predict, classes", "Windows' ends of lines"): text_file("names.txt", "\n", "\r\n"),
    ("predict, classes", "a mark and empty lines"): text_file("names.txt", "\n", "\n\n", mark=True),
    ("parse_test_res", "empty lines"): text_file(f"{RUN}/log.txt", "\n", "\n\n"),
    ("parse_test_res exact", "record indented"): json_file(f"{RUN}/results.json"),
    ("bench.table", "record indented"): json_file(f"{RUN}/results.json", indent=2),
    ("bench plan", "suite rewritten"): yaml_file("suite.yaml"),
    ("language check", "names indented"): json_file("novel.json"),
}


def answer(name: str, folder: Path, out: str) -> object:
    """What a command finds out: a run's accuracy and per-class results, else what it prints."""
    file = folder / "out" / "results.json"
    if file.is_file():
        record = json.loads(file.read_text())
        return record["results"]["accuracy"], record["items"]
    return out.replace(f"{folder}/", "")
