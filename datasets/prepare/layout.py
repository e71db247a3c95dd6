"""Follows a recipe: fetches missing files, unpacks them in a work folder, and moves them into the dataset's folder."""

from __future__ import annotations

import json
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from dassl.utils import InputError

from . import drive, transfer
from .archive import is_archive, unpack
from .recipes import Source

logger = logging.getLogger(__name__)

WORK = ".download"  # in the dataset's folder: files in transfer
JUNK = ("__MACOSX", ".DS_Store")


def lay_out(sources: tuple[Source, ...], folder: Path) -> list[str]:
    """Fetch the sources whose files are not in `folder`; returns the names of the fetched files.

    Raises InputError. What is in `folder` under its final name is always complete.
    """
    missing = [source for source in sources if not source.is_in(folder)]
    if not missing:
        return []
    if any(s.url.startswith(drive.PREFIX) and not _alternative(s, folder) for s in missing):
        drive.need_gdown()  # before anything is fetched
    work = folder / WORK
    had_folder = folder.exists()
    try:
        work.mkdir(parents=True, exist_ok=True)
        with FileLock(work / "lock", timeout=0):
            try:
                for source in missing:
                    logger.info("%s: fetching %s", folder.name, source.file)
                    _get(source, folder, work)
                shutil.rmtree(work)
            finally:
                _tidy(work, None if had_folder else folder)
    except Timeout as error:
        raise InputError(f"{folder} is being prepared by another process; wait for it.") from error
    except OSError as error:
        raise transfer.disk_error(error, folder) from error
    return [source.file for source in missing]


def _alternative(source: Source, folder: Path) -> Path | None:
    """A local file that can replace the download: an equal file of another dataset, or one put into the work folder by
    hand; None if there is none."""
    candidates = [folder / WORK / source.file]
    if source.same_as:
        candidates.append(Path(os.path.normpath(folder / source.same_as)))  # `folder` may not be there yet
    return next((file for file in candidates if file.is_file()), None)


def _get(source: Source, folder: Path, work: Path) -> None:
    file = work / source.file
    at_hand = _alternative(source, folder)
    if at_hand and at_hand != file:
        shutil.copyfile(at_hand, file)
    elif source.url.startswith(drive.PREFIX):
        if not at_hand:
            drive.fetch(source.url, file)
    else:
        transfer.fetch(source.url, file, source.checksum, source.hint)
    if not is_archive(source.file):
        _check_text(file, source)
        os.replace(file, folder / source.gives[0])
        return
    aside = work / "unpacked"
    shutil.rmtree(aside, ignore_errors=True)
    unpack(file, aside / "0")
    if source.inner:
        unpack(_only(aside / "0", source.inner), aside / "1")
    _put(source, aside, folder)
    shutil.rmtree(aside)
    file.unlink()


def _check_text(file: Path, source: Source) -> None:
    """InputError if the file is not of its type: servers often send a web page in its place."""
    try:
        text = file.read_text(encoding="utf-8") if not source.file.endswith(".mat") else "-"
        json.loads(text) if source.file.endswith(".json") else None
        bad = not text.strip() or text.lstrip().lower().startswith(("<!doctype", "<html"))
    except ValueError:
        bad = True
    if bad:
        file.unlink()
        raise InputError(
            f"{source.page} sent something else than {source.file} (a web page?), which was removed; fetch it by hand."
        )


def _only(folder: Path, name: str) -> Path:
    found = sorted(folder.rglob(name))
    if not found:
        raise InputError(f"The archive does not hold {name}; the publisher has changed it.")
    return found[0]


def _put(source: Source, aside: Path, folder: Path) -> None:
    """Moves unpacked files to their place, `source.gives[0]` last: its presence means that the dataset is complete."""
    renamed = {new: old for old, new in source.rename.items()}
    wanted = {renamed.get(name, name) for name in source.gives}
    inside = _home(aside, wanted)
    if inside is None:
        raise InputError(f"{source.file} does not hold {' and '.join(sorted(wanted))}; the publisher has changed it.")
    names = [name for name in os.listdir(inside) if name not in JUNK and not name.startswith("._")]
    last = renamed.get(source.gives[0], source.gives[0])
    for name in sorted(names, key=lambda name: name == last):
        target = folder / source.rename.get(name, name)
        if not target.exists():
            os.rename(inside / name, target)


def _home(top: Path, names: set[str]) -> Path | None:
    """The folder nearest to `top` that holds all `names`."""
    level = [top]
    for _ in range(5):
        for folder in level:
            if names <= set(os.listdir(folder)):
                return folder
        level = [child for folder in level for child in sorted(folder.iterdir()) if child.is_dir()][:100]
    return None


def _tidy(work: Path, folder: Path | None) -> None:
    """After a failure, keep only what a later run can use (transfers and archives). Removes empty folders."""
    if not work.exists():
        return
    shutil.rmtree(work / "unpacked", ignore_errors=True)
    if all(path.name == "lock" for path in work.iterdir()):
        shutil.rmtree(work, ignore_errors=True)
        if folder is not None:
            with suppress(OSError):  # not empty
                folder.rmdir()
