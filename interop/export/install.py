"""Writes an export into a checkout. Files of the checkout and exported files edited there are not overwritten."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from dassl.utils import InputError, atomic_path

from .rewrite import PACKAGE

MANIFEST = f"{PACKAGE}/manifest.json"


@dataclass
class Installed:
    """The result of an installation: paths below the checkout of files written, unchanged, kept and removed."""

    written: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)  # the checkout's own configs of that name
    removed: list[str] = field(default_factory=list)  # files of an earlier export that this one does not have


def read_manifest(checkout: Path) -> dict:
    """{"methods": [...], "files": {path: sha256}} of an earlier export; both empty if there was none."""
    file = checkout / MANIFEST
    if not file.exists():
        return {"methods": [], "files": {}}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {"methods": list(found["methods"]), "files": dict(found["files"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is damaged ({type(error).__name__}); remove it, and export with --force.") from error


def install(files: dict[str, bytes], methods: list[str], checkout: Path, force: bool = False) -> Installed:
    """Write the files, each atomically, and last the manifest with their hashes.

    A file of an earlier export is replaced if it was not edited. For an edited file, or one in the package's folder
    that no export wrote, InputError is raised before anything is written, unless `force`. The checkout's own configs
    are kept.
    """
    known = read_manifest(checkout)["files"]
    done, edited, ours = Installed(), [], {}
    for path, content in sorted(files.items()):
        there, digest = _digest(checkout / path), hashlib.sha256(content).hexdigest()
        if there is not None and path not in known and not path.startswith(f"{PACKAGE}/"):
            done.kept.append(path)
            continue
        ours[path] = digest
        if there == digest:
            done.same.append(path)
            continue
        done.written.append(path)
        if there is not None and there != known.get(path):
            edited.append(path)
    if edited and not force:
        more = f" and {len(edited) - 3} more" if len(edited) > 3 else ""
        raise InputError(
            f"{', '.join(edited[:3])}{more} in {checkout} was edited since it was exported, or is not from here; "
            "nothing is written. Put your changes elsewhere, or overwrite them with --force."
        )
    try:
        for path in done.written:
            _write(checkout / path, files[path])
        for path in sorted(set(known) - set(ours)):
            if _digest(checkout / path) == known[path]:
                (checkout / path).unlink()
                done.removed.append(path)
        _write(checkout / MANIFEST, json.dumps({"methods": methods, "files": ours}, indent=1).encode())
    except OSError as error:
        raise InputError(f"{error.filename or checkout} cannot be written: {error.strerror}.") from error
    return done


def _digest(file: Path) -> str | None:
    """The file's sha256, or None if there is no such file."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as temporary:
        Path(temporary).write_bytes(content)
