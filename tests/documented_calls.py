"""Executing a command that a document shows, and asking for less: its parser, its config, its suite."""

from __future__ import annotations

import argparse
import contextlib
import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from documented import ROOT, Command
from scripts.stub import call

SHORT = ("OPTIM.MAX_EPOCH", "1")
TRAINS = ("runs", "train")
READERS = ("../", "configs/datasets/my_images.yaml")  # how files begin that a reader has

STUDIES = tuple(
    f"bench.{name}"
    for name in (
        "generalization", "noise", "noise_xd", "adversarial", "sar", "anprompt_ablation", "dpsep_ablation", "base2new",
        "adversarial_base2new",
    )
)  # fmt: skip


class Parsed(BaseException):
    """What the outermost parser of a command made of its words."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options


def words_of(command: Command, python: Path) -> list[str]:
    """What the command calls, as the words after `python -m`. python: the stub that a script calls."""
    program, *words = command.words
    if program == "robustprompt":
        return ["robustprompt", *words]
    if program != "bash":
        return words[1:] if words[0] == "-m" else [words[0].removesuffix(".py"), *words[1:]]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in command.given:
            patch.setenv(name, value)
        done = call(ROOT / words[0], *words[1:], python=python, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.removeprefix("-m|").split("|")[:-1]


def start(words: list[str]) -> int:
    """Execute `python -m WORDS` in this process. Returns its exit code."""
    before, sys.argv = sys.argv, list(words)
    try:
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0


def shortened(words: list[str]) -> list[str]:
    """The same with one epoch where it trains, ten images where it attacks, and one seed of a suite in this process, as
    a Slurm task does it."""
    if words[:2] == ["bench", "run"]:
        return ["bench", "work", *words[2:], "--seeds", "1", "--", *SHORT]
    if words[0] == "robustness":
        return [*words, "ATTACK.SUBSET", "10"]
    trains = words[0] in TRAINS and "--show-config" not in words
    return [*words, *SHORT] if trains else words


def asked(words: list[str]) -> None:
    """What can be asked of a command without computing; of a suite, one of the seeds, whose runs are those of the
    others. Raises InputError or AssertionError for wrong words."""
    if words[0] == "runs":
        from runs.protocols import plan
        from runs.words import seed_of

        for each in plan(*words[1:4], seed_of(words[4]), os.environ, words[5:]):
            resolve(each)
    elif words[0] == "robustness" and words[1] != "clipure":
        from robustness.__main__ import plan as evaluations
        from robustness.run import setup
        from runs.options import parse

        for each in evaluations(words[1:]):
            setup(parse(each))
    elif words[0] == "train":
        resolve(words[1:])
    elif words[:2] in (["bench", "run"], ["bench", "work"], ["bench", "select"]):
        from bench.suites.options import open_suite

        args = parsed(words)
        if not getattr(args, "ids", ""):
            args.seeds = [one_seed(words), *(word for word in args.seeds if not word.isdigit())]
        suite = open_suite(args)
        assert suite.runs
        if getattr(args, "ids", ""):
            suite.chosen(args.ids.split(","))
    elif words[0] in STUDIES or words[:2] == ["bench", "claims"]:
        at = 2 if words[0] == "bench" else 1
        rest = [word for word in words[at:] if word not in ("run", "plan", "--tables-only")]
        while "--from" in rest:  # a folder of the reader, and `plan` takes nothing from it
            at_from = rest.index("--from")
            del rest[at_from : at_from + 2]
        end = rest.index("--") if "--" in rest else len(rest)
        rest[end:end] = ["--seeds", one_seed(words)]  # the last --seeds counts
        assert start([*words[:at], *rest[: end + 2], "--", "plan", *rest[end + 3 :]]) == 0, words
    else:
        parsed(words)


def one_seed(words: list[str]) -> str:
    """The first seed that the words name; 1 if they name none."""
    return words[words.index("--seeds") + 1] if "--seeds" in words else "1"


def parsed(words: list[str]) -> argparse.Namespace:
    """The options as the command's own parser reads them. AssertionError: it does not take them."""
    with only_parsing():
        try:
            code = start(words)
        except Parsed as found:
            return found.options
    raise AssertionError(f"no parser was asked, exit code {code}: {words}")


@contextlib.contextmanager
def only_parsing() -> Iterator[None]:
    """The outermost call of an argparse parser ends the command by `Parsed`."""
    depth = 0

    def ending(method):
        def parse(self, *args, **kwargs):
            nonlocal depth
            depth += 1
            try:
                found = method(self, *args, **kwargs)
            finally:
                depth -= 1
            if depth:
                return found
            raise Parsed(found)

        return parse

    with pytest.MonkeyPatch.context() as patch:
        for name in ("parse_args", "parse_intermixed_args"):
            patch.setattr(argparse.ArgumentParser, name, ending(getattr(argparse.ArgumentParser, name)))
        yield


def resolve(arguments: list[str]) -> None:
    """Take train.py's arguments as it does, up to the config; without it where files of the reader's are named."""
    from runs.options import parse
    from runs.setup import resolved

    args = parse(arguments)
    files = [file for file in (*args.plugin, *args.plugin_cfg, args.config_file, args.dataset_config_file) if file]
    if not any(file.rpartition("=")[2].startswith(READERS) for file in files):
        resolved(args)
