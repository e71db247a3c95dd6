"""Writing an export into a checkout, without overwriting what is not ours or was edited there."""

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
    """Paths below the checkout, by what became of them."""

    written: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)  # the checkout's own configs of that name
    removed: list[str] = field(default_factory=list)  # of an earlier export, and not part of this one


def read_manifest(checkout: Path) -> dict:
    """{"methods": [...], "files": {path: sha256}} of the export that is there; empty ones where there is none."""
    file = checkout / MANIFEST
    if not file.exists():
        return {"methods": [], "files": {}}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {"methods": list(found["methods"]), "files": dict(found["files"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is damaged ({type(error).__name__}); remove it, and export with --force.") from error


def install(files: dict[str, bytes], methods: list[str], checkout: Path, force: bool = False) -> Installed:
    """Writes the files, each at once, and last the manifest with their hashes.

    A file that an earlier export wrote and that nobody edited is replaced; one that was edited, or that stands in our
    package without being ours, is an InputError unless `force`, and then nothing at all is written. Configs that the
    checkout has of its own stay.
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
    """None where there is no such file."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as temporary:
        Path(temporary).write_bytes(content)
