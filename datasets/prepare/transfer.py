"""Downloads over HTTP that resume where they broke off, also in a later run."""

from __future__ import annotations

import errno
import hashlib
import http.client
import logging
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

from dassl.utils import InputError

from .meter import Meter

logger = logging.getLogger(__name__)

TRIES = 5  # attempts in a row that receive nothing
WAIT = 1.0  # seconds before the second attempt, doubled with each
TIMEOUT = 30  # seconds without a byte
CHUNK = 1 << 18
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LOCAL = (*DISK_FULL, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO)
BUSY = (408, 425, 429)  # HTTP 4xx codes after which a later try may succeed


def fetch(url: str, target: Path, checksum: str | None = None, hint: str = "") -> None:
    """Transfer `url` to the file `target`, through `target`.part, which outlives a broken transfer.

    `checksum`: "md5:<hex>" or "sha256:<hex>"; None: only the length is checked. A `target` that is there is checked
    instead of fetched. InputError says what went wrong and what to do; a wrong checksum removes the file.
    """
    part = target.with_name(target.name + ".part")
    if not target.exists():
        try:
            _until_complete(url, part, f"{hint} " if hint else "", target)
        except OSError as error:
            raise disk_error(error, target.parent) from error
        if checksum:
            verify(part, checksum, url)
        os.replace(part, target)
        _tag_file(part).unlink(missing_ok=True)
    elif checksum:
        verify(target, checksum, url)


def disk_error(error: OSError, folder: Path) -> InputError:
    """The sentence for a file that could not be written below `folder`."""
    if error.errno in DISK_FULL:
        return InputError(
            f"The disk of {folder} is full; free some space and run the same command again: it continues."
        )
    return InputError(f"{error.filename or folder} cannot be written ({error.strerror}).")


def verify(file: Path, checksum: str, origin: str) -> None:
    """InputError, and the file is removed, unless it has the checksum."""
    kind, _, wanted = checksum.partition(":")
    digest = hashlib.new(kind, usedforsecurity=False)
    with file.open("rb") as f, Meter(f"checking {file.name}", file.stat().st_size) as meter:
        while block := f.read(1 << 20):
            digest.update(block)
            meter.at(f.tell())
    if digest.hexdigest() != wanted.lower():
        file.unlink()
        _tag_file(file).unlink(missing_ok=True)
        raise InputError(
            f"{origin} came with the {kind} {digest.hexdigest()} instead of the published {wanted} and was removed; "
            "run the same command again, and if that does not help, the publisher's file has changed."
        )


def _until_complete(url: str, part: Path, hint: str, target: Path) -> None:
    by_hand = f"{hint}Fetch it by other means, put it at {target} and run the same command again."
    most, idle = _size(part), 0
    while True:
        try:
            if _receive(url, part):
                return
            reason = "the connection was lost"
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code not in BUSY:
                raise InputError(f"{url} cannot be fetched (HTTP {error.code} {error.reason}). {by_hand}") from error
            reason = f"HTTP {error.code} {error.reason}"
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno in LOCAL:
                raise
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        idle = 0 if _size(part) > most else idle + 1
        most = max(most, _size(part))
        if idle >= TRIES:
            raise InputError(f"{url} cannot be fetched ({reason}; {most} bytes are kept). {by_hand}")
        logger.info("%s: %s at %d bytes, trying again", url, reason, _size(part))
        time.sleep(WAIT * 2**idle)


def _receive(url: str, part: Path) -> bool:
    """Request the missing rest of `part`; returns whether the file is complete."""
    have = _size(part)
    headers = {"User-Agent": "robustprompt", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        tag = _tag_file(part)
        if tag.exists():  # the server sends the whole file if it has another one by now
            headers["If-Range"] = tag.read_text()
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        if _content_range(error.headers)[1] == have:
            return True
        part.unlink()  # longer than the server's file: not the same file
        return False
    with response:
        start, total = _content_range(response.headers)
        if response.status == 206 and start != have:
            part.unlink()
            return False
        if response.status != 206:  # the server sends the whole file
            have = 0
            length = response.headers["Content-Length"]
            total = int(length) if length else None
        _keep_tag(part, response.headers)
        _check_space(part.parent, total, have)
        with part.open("ab" if have else "wb") as f, Meter(part.stem, total, have) as meter:
            while block := response.read(CHUNK):
                f.write(block)
                meter.at(f.tell())
    return total is None or _size(part) == total


def _content_range(headers) -> tuple[int | None, int | None]:
    """(first byte, length of the whole file) of a Content-Range header; None for what it does not say."""
    match = re.match(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", headers.get("Content-Range", ""))
    if not match:
        return None, None
    start, total = match.groups()
    return (int(start) if start else None), (int(total) if total != "*" else None)


def _check_space(folder: Path, total: int | None, have: int) -> None:
    if total is not None and total - have > shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _keep_tag(part: Path, headers) -> None:
    """Keep what identifies the server's file, so that two versions are never joined."""
    tag = headers.get("ETag", "")
    tag = headers.get("Last-Modified", "") if not tag or tag.startswith("W/") else tag
    if tag:
        _tag_file(part).write_text(tag)
    else:
        _tag_file(part).unlink(missing_ok=True)


def _tag_file(part: Path) -> Path:
    return part.with_name(part.name + ".tag")


def _size(file: Path) -> int:
    with suppress(FileNotFoundError):
        return file.stat().st_size
    return 0
