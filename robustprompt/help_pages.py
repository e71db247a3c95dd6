"""The page of all commands (docs/reference/commands.md): what `--help` of each prints at 100 columns."""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import sys
import warnings
from collections.abc import Iterator

from .doors import GROUPS

COLUMNS = "100"
VARIABLES = ("DATA", "OUTPUT", "CFG", "SHOTS", "SOURCE", "PLUGIN", "PLUGIN_CFG")  # defaults of some options
STUDIES = (
    "generalization", "noise", "noise_xd", "noise_analysis", "adversarial", "streams", "sar", "semantics",
    "anprompt_ablation", "dpsep_ablation", "base2new", "adversarial_base2new", "text_noise",
)  # fmt: skip
MORE = {
    "studies of the embedded sets": [f"bench.{name}" for name in STUDIES],
    "further commands": [
        "bench work", "datasets doctor", "datasets prepare", "datasets items", "datasets corrupt", "language check",
        "language encode", "clipkit list", "clipkit fetch", "clipkit info", "parse_test_res", "benchmarks",
        "robustprompt.reference",
    ],
}  # fmt: skip
HEAD = """# Commands

<!-- Made by `python -m robustprompt.reference` with Python {version}; others order help
differently. -->

What `--help` of each command prints. `python -m robustprompt WORD` leads to the first ones; the scripts that CoOp's
users know are in `docs/protocols.md`.
"""


def commands_page() -> str:
    """The page, in Markdown. Imports torch."""
    parts = [HEAD.format(version=python_version())]
    for title, doors in GROUPS.items():
        parts.append(f"## {title[0].upper()}{title[1:]}\n")
        parts += [_section(f"robustprompt {word}", help_of(f"robustprompt {word}")) for word in doors]
    for title, modules in MORE.items():
        parts.append(f"## {title[0].upper()}{title[1:]}\n")
        parts += [_section(f"python -m {words}", help_of(words)) for words in modules]
    return "\n".join(parts)


def python_version() -> str:
    return "{}.{}".format(*sys.version_info)


def help_of(words: str) -> str:
    """What `python -m WORDS --help` prints at 100 columns, in this process."""
    module, *rest = words.split()
    kept = io.BytesIO()
    out = io.TextIOWrapper(kept, encoding="utf-8")  # as a real one, for commands that set its errors
    before, sys.argv = sys.argv, [module, *rest, "--help"]
    try:
        with _environment(), warnings.catch_warnings(), contextlib.redirect_stdout(out):
            warnings.simplefilter("ignore")  # of modules that are loaded already
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.argv = before
    out.flush()
    return "\n".join(line.rstrip() for line in kept.getvalue().decode().strip().splitlines())


def _section(title: str, text: str) -> str:
    return f"### {title}\n\n```text\n{text}\n```\n"


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """100 columns, and none of the variables that change a default."""
    before = dict(os.environ)
    for name in VARIABLES:
        os.environ.pop(name, None)
    os.environ["COLUMNS"] = COLUMNS
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
