"""Checks of arguments and environment variables; each wrong value is refused in one sentence."""

from __future__ import annotations

import difflib
import math
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from dassl.utils import InputError
from interop.plugins.entry_points import found as installed_plugins
from interop.plugins.places import PROJECT

from .config_names import CONFIG_FOLDER, PUBLISHED

LARGEST_SEED = 2**63 - 1
CONFIG_KEY = re.compile(r"[A-Z]\w*(\.\w+)*")


def is_whole(text: str, least: int = 0) -> bool:
    """Whether the text is a whole number of at least `least`, in ASCII digits alone."""
    return re.fullmatch(r"[0-9]+", text) is not None and int(text) >= least


def seed_of(text: str) -> int:
    """The seed as a number. Raises InputError if the text is no valid seed."""
    if not is_whole(text) or int(text) > LARGEST_SEED:
        raise InputError(f"SEED is {text!r}, but must be one whole number such as 1, below 2**63.")
    return int(text)


def number(text: str) -> float | None:
    """The text as a number (nan and inf too, which callers must exclude), or None if it is no number."""
    try:
        return float(text)
    except ValueError:
        return None


def meant_for(words: Sequence[str], known: Iterable[str]) -> str:
    """The name in `known` that the first word, written like a config key of one part ("TYPO"), means; "" for none."""
    if not words or "." in words[0] or not CONFIG_KEY.fullmatch(words[0]):
        return ""
    return next(iter(difflib.get_close_matches(words[0].casefold(), list(known), n=1, cutoff=0.75)), "")


def take_eps(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """([EPS, STEPS] or [], the other words). EPS is in 1/255. Raises InputError if the words begin neither with these
    two nor with a config key."""
    if not words or (number(words[0]) is None and CONFIG_KEY.fullmatch(words[0])):
        return [], list(words)
    eps = number(words[0])
    if eps is None or math.isnan(eps) or not 0 <= eps <= 255:
        raise InputError(f"EPS is {words[0]!r}, but must be a number from 0 to 255 (in 1/255), with STEPS after it.")
    if len(words) < 2 or not is_whole(words[1], 1):
        given = repr(words[1]) if len(words) > 1 else "nothing"
        raise InputError(f"EPS is {words[0]}, and STEPS must follow, a whole number from 1 such as 100, not {given}.")
    return list(words[:2]), list(words[2:])


def check_method(trainer: str, plugins: Sequence[str] = ()) -> None:
    """Raises InputError for a method without configs, unless there are plugins, which may define it."""
    folder = PROJECT / "configs" / "trainers" / CONFIG_FOLDER.get(trainer, trainer)
    if trainer in PUBLISHED or trainer and os.path.isdir(folder) or plugins or installed_plugins():
        return
    near = difflib.get_close_matches(trainer, PUBLISHED, n=3, cutoff=0.3)
    raise InputError(
        f"There is no method {trainer!r}; known, nearest first: {', '.join(dict.fromkeys([*near, *PUBLISHED]))}."
    )


def check_config(cfg: str, run: Sequence[str]) -> None:
    """Raises InputError if CFG names no config of the method. run: train.py's arguments."""
    file = PROJECT / run[run.index("--config-file") + 1]
    if not cfg or file.is_file():
        return
    if cfg.endswith((".yaml", ".yml")):
        raise InputError(f"CFG is {cfg}, but there is no such file; give its path, seen from {PROJECT}.")
    there = ", ".join(sorted(path.stem for path in file.parent.glob("*.yaml"))) or "none here"
    raise InputError(f"CFG is {cfg!r}, but {file.parent.name} has no such config; it has {there}.")


def check_folder(text: str, name: str) -> None:
    """Raises InputError if the path cannot be a folder: it is empty, too long, or a part of it is a file."""
    if not text.strip():
        raise InputError(f"{name} is empty; give a folder, or leave it out.")
    path = Path(text)
    try:
        in_the_way = next((p for p in (path, *path.parents) if os.path.lexists(p) and not p.is_dir()), None)
        with suppress(FileNotFoundError, NotADirectoryError):
            os.stat(path)  # a name that is too long, or no name
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{name} {text[:80]!r} cannot be a folder ({reason}); give another.") from error
    if in_the_way:
        what = "a link to nothing" if in_the_way.is_symlink() else "a file"
        raise InputError(f"{name} is {text}, but {in_the_way} is {what}, not a folder; give another.")


def check_can_write(folder: str | Path, name: str) -> None:
    """Raises InputError, with the reason, if nothing can be written in a folder, or where it would be made.
    Leaves nothing behind. name: the option or variable that gives the folder, for the sentence."""
    path = Path(folder)
    there = next((each for each in (path, *path.absolute().parents) if os.path.lexists(each)), path)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        where = f" in {there}" if there == path else f" in {there}, where {path} would be made"
        raise InputError(f"Nothing can be written{where} ({reason}); mend that, or give another {name}.") from error
