"""Options for Slurm, from a suite's `slurm:` block or the command line, which overrides it.

Other options of sbatch can be set by its environment variables (SBATCH_NICE, SBATCH_EXCLUSIVE, ...).
"""

from __future__ import annotations

import argparse
import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from dassl.utils import InputError

WARNING = 60  # seconds before its time limit at which a task gets a signal to stop
LEAST = 5  # smallest time limit in minutes: Slurm may send the signal a minute earlier

TEXTS = {
    "partition": "partition of the cluster, such as gpu",
    "account": "account that is charged",
    "qos": "quality of service",
    "reservation": "name of a reservation",
    "constraint": "features that the node must have, such as a100",
    "nodelist": "nodes to use",
    "exclude": "nodes not to use",
    "gres": "GPUs of a task, such as gpu:1 or gpu:1g.10gb:1",
    "mem": "memory of a task, such as 32G",
}
COUNTS = {
    "cpus": "CPU cores of a task",
    "pack": "runs of a task (default: as estimated from earlier runs)",
    "parallel": "largest number of tasks at a time (default: 256)",
}
TIME = re.compile(r"(?:(?P<d>\d+)-(?P<h>\d+)(?::(?P<m>\d+))?(?::(?P<s>\d+))?|(?P<only>\d+(?::\d+){0,2}))")
MEMORY = re.compile(r"\d+[KMGT]?", re.IGNORECASE)


@dataclass(frozen=True)
class SlurmOptions:
    """Options of Slurm. minutes: time limit of a task, rounded up as by Slurm. texts: sbatch's options by name. pack:
    runs of a task; 0: by estimate."""

    minutes: int
    texts: dict[str, str]
    cpus: int = 0
    pack: int = 0
    parallel: int = 256
    setup: tuple[str, ...] = ()


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of Slurm to a parser, as a group."""
    group = parser.add_argument_group("slurm", "in place of the suite's `slurm:` block")
    group.add_argument("--time", metavar="T", help="limit of a task: MINUTES, HH:MM:SS or DAYS-HH:MM:SS")
    for name, about in (TEXTS | COUNTS).items():
        group.add_argument(f"--{name}", metavar=name[0].upper(), help=about)
    group.add_argument("--setup", action="append", metavar="LINE", help="shell line before the runs (may be repeated)")
    group.add_argument("--wait", action="store_true", help="wait until the tasks have ended, and log the progress")


def given(args: argparse.Namespace) -> dict[str, object]:
    """{option: value} of the options that the command line has."""
    named = {name: getattr(args, name) for name in ("time", *TEXTS, *COUNTS, "setup")}
    return {name: value for name, value in named.items() if value is not None}


def read_options(block: Mapping[str, object], command_line: Mapping[str, object], file: object) -> SlurmOptions:
    """The options of a suite's `slurm:` block, overridden by the command line. file: the suite's.

    Raises InputError that names the option and where it was given.
    """
    found = check_block(block, file) | {name: READ[name](value, f"--{name}") for name, value in command_line.items()}
    if "time" not in found:
        raise InputError(f"Slurm has to know how long a task may take: --time 04:00:00, or time in {file}, slurm.")
    texts = {name: found[name] for name in TEXTS if name in found}
    counts = {name: found[name] for name in COUNTS if name in found}
    return SlurmOptions(found["time"], texts, **counts, setup=found.get("setup", ()))


def check_block(block: Mapping[str, object], file: object) -> dict[str, object]:
    """{option: its parsed value} of a suite's `slurm:` block. Raises InputError as `read_options` does."""
    for name in block:
        if name not in READ:
            near = difflib.get_close_matches(str(name), READ, 1)
            guess = f"did you mean {near[0]}?" if near else f"there are {', '.join(READ)}."
            raise InputError(f"{file}, slurm: {name} is no option; {guess}")
    return {name: READ[name](value, f"{file}, slurm, {name}") for name, value in block.items()}


def _minutes(value: object, place: str) -> int:
    if not isinstance(value, str):
        raise InputError(f"{place}: is the number {value}; put the time in quotes, which YAML needs for 4:00:00.")
    if not (match := TIME.fullmatch(value.strip())):
        raise InputError(f"{place}: {value!r} is no time; write minutes, HH:MM:SS or DAYS-HH:MM:SS.")
    if match["only"]:
        parts = [int(part) for part in match["only"].split(":")]
        hours, minutes, seconds = parts if len(parts) == 3 else (0, *parts, 0)[:3]
        days = 0
    else:
        days, hours, minutes, seconds = (int(match[part] or 0) for part in "dhms")
    total = math.ceil(((days * 24 + hours) * 60 + minutes) + seconds / 60)
    if total < LEAST:
        raise InputError(
            f"{place}: {value} is too short; tasks stop {WARNING} s before the end, so give {LEAST} minutes."
        )
    return total


def _text(name: str, value: object, place: str) -> str:
    text = str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if not text or len(text.split()) > 1:
        raise InputError(f"{place}: {value!r} is no value; write one word ({TEXTS[name]}).")
    if name == "mem" and not MEMORY.fullmatch(text):
        raise InputError(f"{place}: {text!r} is no size; write a number of megabytes, or with K, M, G or T: 32G.")
    return text


def _count(value: object, place: str) -> int:
    text = str(value)
    if isinstance(value, bool) or not text.isdecimal() or int(text) < 1:
        raise InputError(f"{place}: {value!r} is no count; write a whole number from 1.")
    return int(text)


def _lines(value: object, place: str) -> tuple[str, ...]:
    lines = [value] if isinstance(value, str) else value
    if not isinstance(lines, list) or not all(isinstance(line, str) and line.strip() for line in lines):
        raise InputError(f"{place}: must be shell lines, a text or a list of texts.")
    return tuple(lines)


# {option: function that parses its value}
READ: dict[str, Callable] = {
    "time": _minutes, **{name: partial(_text, name) for name in TEXTS}, **dict.fromkeys(COUNTS, _count),
    "setup": _lines,
}  # fmt: skip
