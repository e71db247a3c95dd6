"""Files on Google Drive, through the package `gdown`, which is only needed for them."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from dassl.utils import InputError
from dassl.utils.progress import on_terminal

from .transfer import LOCAL, disk_error

PREFIX = "gdrive:"


def need_gdown() -> None:
    """InputError unless `gdown` can be imported."""
    if importlib.util.find_spec("gdown") is None:
        raise InputError("Google Drive needs the package gdown: `pip install gdown`, then run the same command again.")


def view(address: str) -> str:
    """The page of a file for a browser; `address` is "gdrive:<id>"."""
    return f"https://drive.google.com/file/d/{address.removeprefix(PREFIX)}/view"


def fetch(address: str, target: Path) -> None:
    """Transfer "gdrive:<id>" to `target`. Drive publishes no checksums. InputError if it refuses."""
    import gdown

    part = target.with_name(target.name + ".part")
    try:
        done = gdown.download(id=address.removeprefix(PREFIX), output=str(part), quiet=not on_terminal(), resume=True)
        reason = "" if done and part.exists() else "no file came"
    except Exception as error:  # gdown raises its own and those of requests
        if isinstance(error, OSError) and error.errno in LOCAL:
            raise disk_error(error, target.parent) from error
        reason = " ".join(str(error).split()) or type(error).__name__
    if reason:
        raise InputError(
            f"Google Drive did not deliver {target.name} ({reason[:300]}). Fetch it from {view(address)} with a "
            f"browser, put it at {target} and run the same command again."
        )
    os.replace(part, target)
