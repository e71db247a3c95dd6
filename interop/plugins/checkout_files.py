"""Finds files that a plugin reads by a path relative to its checkout (`gpt_file/eurosat.json`).

The working folder of a run is not the checkout. A file that does not exist in the working folder is therefore looked
for in the checkout. This holds for reading only, and only for calls from a plugin's code, directly or through a library
(`torch.load`, `os.path.exists`, pathlib). Writing and this project's own reading are unchanged.
"""

from __future__ import annotations

import builtins
import functools
import io
import logging
import os
import pathlib
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from .places import PROJECT
from .scope import SCOPES

logger = logging.getLogger("plugins")
OWN = str(PROJECT) + os.sep
# Files of this project whose functions read on behalf of their caller: read_json, load_checkpoint, the plugins' `open`.
FOR_OTHERS = (str(PROJECT / "dassl" / "utils") + os.sep, str(PROJECT / "interop" / "plugins" / "scope.py"), __file__)
# This project's folders: a plugin that reads such a path means the folder of its own checkout.
OURS = {"clip", "clipkit", "configs", "dassl", "datasets", "docs", "interop", "language", "runs", "scripts", "trainers"}
MAKERS = {(os.__file__, "makedirs"), (pathlib.__file__, "mkdir")}  # they check whether a folder exists before making it
_excluded: list[tuple[Path, ...]] = []
_told: set[str] = set()


@contextmanager
def reading_from_checkouts(own: Iterable[str | os.PathLike] = ()) -> Iterator[None]:
    """Within the block, plugins' code finds files of its checkout by relative paths. own: files and folders of the run,
    which are not looked for in a checkout."""
    _excluded.append(
        tuple(Path(os.path.abspath(path)) for path in own if path and os.path.abspath(path) != os.getcwd())
    )
    with ExitStack() as stack:
        stack.callback(_excluded.pop)
        if len(_excluded) == 1:
            for owner, name, wrap in READERS:
                original = getattr(owner, name)
                stack.callback(setattr, owner, name, original)
                setattr(owner, name, wrap(original))
        yield


def in_checkout(path: object, folders: bool = False) -> str | None:
    """The path of the file in the checkout of the plugin that is calling; None if there is no such file or plugin."""
    if not isinstance(path, (str, os.PathLike)):
        return None
    text = os.fspath(path)
    if not isinstance(text, str) or not text or os.path.isabs(text):
        return None
    root = _asking()
    if root is None or any(Path(os.path.abspath(text)).is_relative_to(own) for own in _excluded[-1]):
        return None
    found = os.path.join(root, text)
    mode = _mode(found)
    if mode is None or (mode == "folder" and not folders):
        return None
    if found not in _told:
        _told.add(found)
        logger.info("%s is read from the plugin's checkout: %s", text, found)
    return found


def _mode(path: str) -> str | None:
    try:
        return "folder" if stat.S_ISDIR(_stat(path).st_mode) else "file"
    except (OSError, ValueError):
        return None


_stat = os.stat


def _asking() -> str | None:
    """The checkout whose code made the call: the first on the call stack, unless this project's code comes before."""
    roots = {id(scope.builtins): scope.root for scope in SCOPES.values() if scope.root}
    frame = sys._getframe(1)
    while frame is not None:
        root = roots.get(id(frame.f_globals.get("__builtins__")))
        if root is not None:
            return str(root)
        file = frame.f_code.co_filename
        ours = file.startswith(OWN) and not file.startswith(FOR_OTHERS) and "site-packages" not in file
        if ours or (file, frame.f_code.co_name) in MAKERS:
            return None
        frame = frame.f_back
    return None


def _is_shadowed(path: object) -> bool:
    """Whether a relative path would find a folder of this project instead of the checkout's of the same name."""
    if not isinstance(path, (str, os.PathLike)):
        return False
    text = os.fspath(path)
    if not isinstance(text, str) or text.startswith(os.sep):
        return False
    return os.path.normpath(text).split(os.sep)[0] in OURS and os.getcwd() == str(PROJECT)


def _reader(original: Callable, folders: bool = False, may: Callable = lambda args, kwargs: True) -> Callable:
    @functools.wraps(original)
    def read(*args, **kwargs):
        path = args[0] if args else None
        if path is None or not may(args, kwargs):
            return original(*args, **kwargs)
        if _is_shadowed(path) and (found := in_checkout(path, folders)):
            return original(found, *args[1:], **kwargs)
        try:
            return original(*args, **kwargs)
        except FileNotFoundError:
            found = in_checkout(path, folders)
            if found is None:
                raise
            return original(found, *args[1:], **kwargs)

    return read


def _path_first(original: Callable) -> Callable:
    """Wrap a function that opens its file outside Python: the path is replaced before the call."""

    @functools.wraps(original)
    def read(*args, **kwargs):
        if args and isinstance(args[0], (str, os.PathLike)) and (_is_shadowed(args[0]) or _mode(args[0]) is None):
            args = (in_checkout(args[0]) or args[0], *args[1:])
        return original(*args, **kwargs)

    return read


def _reads(args: tuple, kwargs: dict) -> bool:
    mode = kwargs.get("mode", args[1] if len(args) > 1 else "r")
    return isinstance(mode, str) and not set(mode) & set("wax+")


_open = functools.partial(_reader, may=_reads)
_folders = functools.partial(_reader, folders=True)
READERS = (
    (builtins, "open", _open),
    (io, "open", _open),
    (os, "stat", _reader),
    (os, "listdir", _folders),
    (os, "scandir", _folders),
    (torch.jit, "load", _path_first),
)
