"""Lists the folders of a dataset: class folders, their files (kept in a JSON file if they are many), text lists."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from dassl.utils import InputError, MissingFileError, atomic_path, listdir_nohidden, read_json

logger = logging.getLogger(__name__)
T = TypeVar("T")

RACY_SECONDS = 2  # a folder changed so recently may change again without a new time stamp


def shown(text: str) -> str:
    """A name for a message: bytes that are not UTF-8 as \\xff."""
    try:
        return os.fsencode(text).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character, from JSON
        return ascii(text)[1:-1]


def check_text(name: str, origin: str) -> None:
    """InputError for a name that is not UTF-8: it could not be written into lists, logs and results."""
    if name.isascii():
        return
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{shown(origin)}: the name {shown(name)} is not UTF-8, so it cannot be written down; rename the file, "
            "folder or class."
        ) from None


def class_folders(image_dir: str, ignored: Sequence[str] = ()) -> list[str]:
    """Sorted names of the folders in `image_dir`. InputError if there are none."""
    if not os.path.isdir(image_dir):
        raise MissingFileError(f"the image folder {image_dir} does not exist; unpack the images there.")
    names = listdir_nohidden(image_dir, sort=True)
    folders = [name for name in names if name not in ignored and os.path.isdir(os.path.join(image_dir, name))]
    if not folders:
        raise InputError(f"{image_dir} has no class folders; put the images of each class into a folder of its own.")
    for folder in folders:
        check_text(folder, image_dir)
    return folders


def list_images(image_dir: str, folders: Iterable[str], cache_file: str = "") -> dict[str, list[str]]:
    """folder -> sorted names of its files. InputError for an empty folder.

    With `cache_file` the names are kept there, with the folders' times of change and inodes; only folders that changed
    since are listed again. If the file cannot be written, the listing is not kept.
    """
    kept = _read_listing(cache_file)
    now = time.time_ns()
    listing, stamps = {}, {}
    for folder in folders:
        path = os.path.join(image_dir, folder)
        status = os.stat(path)
        # The inode's own time too: an archive that is unpacked again sets the folder's time back.
        stamp = [status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        stamps[folder] = [] if status.st_mtime_ns > now - RACY_SECONDS * 10**9 else stamp
        known = kept.get(folder)
        if known and known[0] == stamp:
            listing[folder] = known[1]
            continue
        with os.scandir(path) as entries:
            listing[folder] = sorted(e.name for e in entries if not e.name.startswith(".") and not e.is_dir())
        if not listing[folder]:
            raise InputError(f"the class folder {path} holds no images; unpack it again or take it out.")
        for name in listing[folder]:
            check_text(name, path)
    new = {folder: [stamps[folder], listing[folder]] for folder in listing}
    if cache_file and new != kept:
        try:
            with atomic_path(cache_file) as temporary, open(temporary, "w", encoding="utf-8") as file:
                file.write(json.dumps({"note": "listing of image folders; may be deleted", "folders": new}))
        except OSError as error:
            logger.info("The listing of %s cannot be saved (%s)", image_dir, error)
    return listing


def _read_listing(cache_file: str) -> dict[str, list]:
    """folder -> [times of change and inode, names]; empty if there is no such file or it is damaged."""
    if not cache_file or not os.path.isfile(cache_file):
        return {}
    try:
        folders = read_json(cache_file)["folders"]
        well_formed = all(
            isinstance(stamp, list) and all(isinstance(n, str) for n in names) for stamp, names in folders.values()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        well_formed = False
    if not well_formed:
        logger.info("The listing %s is damaged and made anew", cache_file)
        return {}
    return folders


def read_lines(path: str) -> list[str]:
    """The lines of a text file, stripped, without empty ones. InputError if it cannot be read as text."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            return [line.strip() for line in file if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text ({error}); save it as UTF-8, or fetch it again.") from error


def one_name_each(pairs: Iterable[tuple[str, str]], origin: str) -> dict[str, str]:
    """{key: name} of the lines of a list. InputError for a key with two names; the same line twice is harmless."""
    names: dict[str, str] = {}
    for key, name in pairs:
        if names.setdefault(key, name) != name:
            raise InputError(f"{origin} has two lines for {key!r}, {names[key]!r} and {name!r}; keep the right one.")
    return names


def line_numbers(lines: Sequence[str], origin: str) -> dict[str, int]:
    """line -> its number from 0, for lists where that is the label. InputError for a line that occurs twice."""
    numbers = {line: number for number, line in enumerate(lines)}
    if len(numbers) < len(lines):
        twice = next(line for number, line in enumerate(lines) if numbers[line] != number)
        raise InputError(f"{origin} has the line {twice!r} twice, so all labels after it would be wrong; take one out.")
    return numbers


def look_up(table: Mapping[str, T], key: str, what: str, origin: str) -> T:
    """`table[key]`; InputError with what the key is and the file or folder that lacks it."""
    if key not in table:
        raise InputError(f"{origin} has no {what} {key!r}; the files do not belong together, fetch them again.")
    return table[key]
