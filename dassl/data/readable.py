"""Checks before a training that all images exist and are complete, since a test reads them only after it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence

from dassl.utils.errors import InputError
from dassl.utils.progress import progress
from dassl.utils.images import is_deep, read_image

logger = logging.getLogger(__name__)

SECONDS = 30.0  # the longest time that the check takes
ENDS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}  # what the last bytes of a whole file hold
TAIL = 64


def check_images(paths: Sequence[str], seconds: float = SECONDS) -> int:
    """Raises InputError naming the first image that is missing, empty, cut off or not read by `read_image`.

    Of a plain colour or grey PNG or JPEG only the header and the end are read; any other file is decoded. After
    `seconds` the check stops, and the log says how many images were checked. They are checked in strides, so that a
    part of them is spread over all classes. Returns the number of images checked.
    """
    stride = max(1, int(len(paths) ** 0.5))
    order = [i for start in range(stride) for i in range(start, len(paths), stride)]
    begun, done = time.monotonic(), 0
    for i in progress(order, desc="check images"):
        if done and time.monotonic() - begun > seconds:
            logger.info("Checked %d of %d images before training, for lack of time; the others are not checked", done, len(paths))
            break
        if not _plain_and_whole(paths[i]):
            _decode(paths[i])
        done += 1
    return done


def _plain_and_whole(path: str) -> bool:
    from PIL import Image

    try:
        with open(path, "rb") as file, Image.open(file) as image:
            end, plain = ENDS.get(image.format), image.mode in ("RGB", "L") and not is_deep(image)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            return bool(end and plain and end in file.read())
    except Exception:  # not plain or not intact: the caller decodes the file, which reports what is wrong
        return False


def _decode(path: str) -> None:
    try:
        read_image(path)
    except InputError as error:
        raise type(error)(f"{error} (checked before training, since the test would have failed on it)") from None
