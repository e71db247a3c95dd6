"""Paths on the command line of a command of `python -m bench`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dassl.utils import InputError


class GivenPath(argparse.Action):
    """Stores an option's path, or its list of paths. Raises InputError for an empty text, as an unset variable of a
    shell gives it: as a path it would be the folder that one is in."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        words = [values] if isinstance(values, str) else list(values)
        if not all(word.strip() for word in words):
            raise InputError(f"{option or self.metavar or self.dest} is empty; give a file or folder, or leave it out.")
        setattr(namespace, self.dest, Path(values) if isinstance(values, str) else [Path(word) for word in words])
