"""Which images are whole, which data two runs have met, and how long a run still takes."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from dassl.data.datasets import Datum
from dassl.data.facts import difference, list_facts
from dassl.data.readable import check_images
from dassl.engine.time_left import TimeLeft
from dassl.utils import InputError


def encoded(kind, mode="RGB"):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).convert(mode)
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "whole"),
    [
        (encoded("PNG"), True),
        (encoded("JPEG"), True),
        (encoded("JPEG") + b"\0" * 200, True),  # what cameras and archives append
        (encoded("JPEG", "CMYK"), True),
        (encoded("BMP"), True),
        (encoded("GIF", "P"), True),
        (encoded("WEBP"), True),
        (b"", False),
        (b"<html>", False),
        *((encoded(kind)[:-300], False) for kind in ("PNG", "JPEG", "BMP", "TIFF", "WEBP")),
    ],
)
def test_an_image_is_whole_if_it_can_be_decoded(tmp_path, content, whole):
    (tmp_path / "x.img").write_bytes(content)
    if whole:
        assert check_images([str(tmp_path / "x.img")]) == 1
        return
    with pytest.raises(InputError, match="x.img cannot be read"):
        check_images([str(tmp_path / "x.img")])


def test_looking_at_images_is_bounded_and_says_so(tmp_path, capsys):
    for i in range(9):
        (tmp_path / f"{i}.png").write_bytes(encoded("PNG"))
    assert check_images([str(tmp_path / f"{i}.png") for i in range(9)], seconds=0.0) == 1
    assert "Checked 1 of 9 images" in capsys.readouterr().out


def test_a_list_is_its_names_and_labels(tmp_path):
    """Wherever it lies, and also where a name is no UTF-8."""
    paths = [tmp_path / place / "cat" / os.fsdecode(b"im\xff.png") for place in ("here", "there")]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    here, there, other = (
        list_facts([Datum(str(path), label)]) for path, label in zip((*paths, paths[0]), (0, 0, 1), strict=True)
    )
    assert here == there and here["count"] == 1 and here != other


def test_only_what_both_tell_is_compared():
    now = {"train": {"count": 2, "sha256": "a"}, "classes": "c", "pictures": "p"}
    assert difference({}, now) == "" and difference(dict(now), now) == "" and difference({"pictures": ""}, now) == ""
    assert difference({"pictures": "q"}, now) == "pictures of the same names"
    assert difference({"train": {"count": 3, "sha256": "b"}, "pictures": "q"}, now) == (
        "the training list (3 images then, 2 now)"
    )


def test_time_left_follows_what_the_last_steps_took():
    left = TimeLeft()
    left.step(30.0)  # workers start
    assert left.seconds(10, 0) == 300.0  # nothing better is known
    for _ in range(9):
        left.step(0.1)
    assert left.seconds(100, 0) == pytest.approx(10.0)  # a mean over all steps says 309
    for _ in range(60):
        left.step(0.5)  # other work has come to the machine
    assert left.seconds(100, 0) == pytest.approx(50.0)
    left.pause(4.0)  # a test, a checkpoint
    assert left.seconds(100, 3) == pytest.approx(62.0)
