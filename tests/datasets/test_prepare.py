"""`python -m datasets prepare` against a server on this machine."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import shutil
import sys
import tarfile
import types
import zipfile
from pathlib import Path

import pytest
from filelock import FileLock
from http_stand_in import serve

from dassl.data.datasets import DATASET_REGISTRY
from dassl.utils import InputError
from datasets.__main__ import main
from datasets.base import SplitDataset
from datasets.prepare import layout, transfer
from datasets.prepare.archive import unpack
from datasets.prepare.manual import STEPS
from datasets.prepare.recipes import RECIPES, Source

PAYLOAD = bytes(range(256)) * 2000  # half a megabyte: several blocks


class PrepToy(SplitDataset):
    dataset_dir = "prep_toy"
    image_dir = "images"
    split_file = "split.json"


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(transfer, "WAIT", 0)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serve() as running:
        yield running


@pytest.fixture
def prepare(monkeypatch, tmp_path):
    """Runs the command for a toy dataset made of these sources; its exit code. `.folder` is the dataset's."""
    monkeypatch.setitem(DATASET_REGISTRY._members, "PrepToy", PrepToy)

    def command(*sources: Source) -> int:
        monkeypatch.setitem(RECIPES, "PrepToy", sources)
        return main(["prepare", "preptoy", "--root", str(tmp_path / "root")])

    command.folder = tmp_path / "root" / "prep_toy"
    return command


def zipped(files: dict[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(*members: tuple[str, bytes | str | None], mode: str = "w:gz") -> bytes:
    """Members: (name, bytes of a file | target of a symbolic link | None for a folder)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
            else:
                info.type, info.linkname = (tarfile.DIRTYPE, "") if content is None else (tarfile.SYMTYPE, content)
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return buffer.getvalue()


def md5(data: bytes) -> str:
    return f"md5:{hashlib.md5(data).hexdigest()}"


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) if folder.exists() else []


def blob(site, name: str = "blob.bin", data: bytes = PAYLOAD, **kwargs) -> Source:
    return Source(site.add(name, data), name, (name,), **kwargs)


def images(site, **kwargs) -> Source:
    data = zipped({"images/a/1": "one", "images/a/2": "two", "images/note": "x", "extra": "y"})
    return Source(site.add("images.zip", data), "images.zip", ("images",), **{"checksum": md5(data), **kwargs})


@pytest.fixture(autouse=True)
def bin_is_no_text(monkeypatch):
    """Plain files are checked to be text; the payload here is not."""
    monkeypatch.setattr(layout, "_check_text", lambda file, source, check=layout._check_text: None
                        if source.file.endswith(".bin") else check(file, source))  # fmt: skip


def test_a_good_transfer_is_laid_out_and_never_repeated(site, prepare, capsys):
    split = Source(site.add("split.json", b'{"train": []}'), "split.json", ("split.json",))
    assert prepare(split, images(site)) == 0
    assert tree(prepare.folder) == [
        "extra",
        "images",
        "images/a",
        "images/a/1",
        "images/a/2",
        "images/note",
        "split.json",
    ]
    assert "split.json, images.zip fetched" in capsys.readouterr().out
    requests = len(site.requests)
    assert prepare(split, images(site)) == 0
    assert len(site.requests) == requests == 2 and "complete already" in capsys.readouterr().out


def test_a_broken_transfer_goes_on_where_it_stopped(site, prepare):
    site.cuts = [100_000, 50_000]
    assert prepare(blob(site, checksum=md5(PAYLOAD))) == 0
    assert [r for _, r in site.requests] == [None, "bytes=100000-", "bytes=150000-"]
    assert (prepare.folder / "blob.bin").read_bytes() == PAYLOAD and tree(prepare.folder) == ["blob.bin"]


def test_a_later_run_goes_on_too(site, prepare, capsys):
    site.cuts = [100_000] + [0] * transfer.TRIES
    assert prepare(blob(site)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "the connection was lost; 100000 bytes are kept" in error
    assert tree(prepare.folder) == [
        ".download",
        ".download/blob.bin.part",
        ".download/blob.bin.part.tag",
        ".download/lock",
    ]
    assert prepare(blob(site)) == 0 and site.requests[-1][1] == "bytes=100000-"
    assert (prepare.folder / "blob.bin").read_bytes() == PAYLOAD and tree(prepare.folder) == ["blob.bin"]


def test_a_server_without_ranges(site, prepare):
    site.ranges, site.cuts = False, [100_000]
    assert prepare(blob(site)) == 0 and len(site.requests) == 2
    assert (prepare.folder / "blob.bin").read_bytes() == PAYLOAD


def test_a_file_that_changed_in_between_is_fetched_from_the_start(site, prepare):
    site.cuts = [100_000] + [0] * transfer.TRIES
    assert prepare(blob(site)) == 2
    site.tag, new = '"v2"', PAYLOAD[::-1]
    assert prepare(blob(site, data=new)) == 0 and (prepare.folder / "blob.bin").read_bytes() == new


def test_a_part_that_is_complete_or_too_long(site, prepare):
    for kept, requests in ((PAYLOAD, 1), (PAYLOAD + b"more", 2)):
        part = prepare.folder / ".download" / "blob.bin.part"
        part.parent.mkdir(parents=True)
        part.write_bytes(kept)
        site.requests.clear()
        assert prepare(blob(site)) == 0 and len(site.requests) == requests
        assert (prepare.folder / "blob.bin").read_bytes() == PAYLOAD
        shutil.rmtree(prepare.folder)


def test_a_server_that_is_busy_is_asked_again(site, prepare):
    site.errors = [503, 429]
    assert prepare(blob(site)) == 0 and len(site.requests) == 3


def test_a_missing_file_says_what_to_do_and_leaves_nothing(site, prepare, capsys):
    gone = Source(f"{site.url}/gone.zip", "gone.zip", ("images",), hint="It was taken down.")
    assert prepare(gone) == 2
    error = capsys.readouterr().err
    assert "HTTP 404" in error and "It was taken down." in error and ".download/gone.zip" in error
    assert not prepare.folder.exists()


def test_a_file_put_there_by_hand_is_used(site, prepare):
    source = images(site)
    prepare.folder.joinpath(".download").mkdir(parents=True)
    (prepare.folder / ".download" / "images.zip").write_bytes(site.files["/images.zip"])
    assert prepare(source) == 0 and not site.requests and (prepare.folder / "images" / "a" / "1").exists()


def test_a_wrong_checksum_removes_the_file(site, prepare, capsys):
    assert prepare(images(site, checksum="md5:" + "0" * 32)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "instead of the published 0000" in error and not prepare.folder.exists()


def test_a_damaged_archive_is_removed(site, prepare, capsys):
    for name, data in (
        ("a.zip", b"PK no zip"),
        ("a.tar.gz", tarred(("images/1", PAYLOAD))[:-500]),
        ("a.tar", b"<html>"),
    ):
        assert prepare(Source(site.add(name, data), name, ("images",))) == 2
        assert "is damaged" in capsys.readouterr().err and not prepare.folder.exists(), name


def test_a_full_disk_known_beforehand(site, prepare, monkeypatch, capsys):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert prepare(blob(site)) == 2
    assert "is full" in capsys.readouterr().err and "blob.bin" not in tree(prepare.folder)


def test_a_disk_that_fills_up_during_the_transfer(site, prepare, monkeypatch, capsys):
    class Full(io.FileIO):
        def write(self, data):
            if self.tell() >= 100_000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data[:100_000])

    real = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda self, mode="r", *a, **k: Full(self, mode.replace("b", ""))
                      if self.suffix == ".part" else real(self, mode, *a, **k))  # fmt: skip
        patch.setattr(transfer, "CHUNK", 50_000)
        assert prepare(blob(site)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "is full" in error and len(site.requests) == 1
    assert prepare(blob(site)) == 0 and site.requests[-1][1] == "bytes=100000-"
    assert (prepare.folder / "blob.bin").read_bytes() == PAYLOAD


def test_a_disk_that_fills_up_while_unpacking(site, prepare, monkeypatch, capsys):
    def extract(self, info, folder, real=zipfile.ZipFile.extract):
        if info.filename.endswith("2"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, info, folder)

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "extract", extract)
        assert prepare(images(site)) == 2
    assert "is full" in capsys.readouterr().err
    assert tree(prepare.folder) == [".download", ".download/images.zip", ".download/lock"]  # the archive is kept
    assert prepare(images(site)) == 0 and len(site.requests) == 1 and (prepare.folder / "images" / "a" / "2").exists()


def test_nothing_incomplete_gets_a_final_name(site, prepare, monkeypatch):
    """Killed between two moves, the sign of completeness (the first of `gives`) is missing and the rest is whole."""
    moves = []

    def rename(source, target, real=os.rename):
        if moves:
            raise KeyboardInterrupt
        moves.append(target)
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(layout.os, "rename", rename)
        assert prepare(images(site)) == 130
    assert [name for name in tree(prepare.folder) if not name.startswith(".")] == ["extra"]
    assert prepare(images(site)) == 0 and (prepare.folder / "images" / "a" / "1").exists()
    assert not (prepare.folder / ".download").exists()


def test_an_archive_in_an_archive_renaming_and_depth(site, prepare):
    inner = tarred(("sketch/n1/1.jpg", b"x"), ("sketch/n1/2.jpg", b"x"))
    data = zipped({"top/folder/inner.tar.gz": inner, "__MACOSX/junk": b""})
    source = Source(site.add("o.zip", data), "o.zip", ("images",), inner="inner.tar.gz", rename={"sketch": "images"})
    assert prepare(source) == 0 and tree(prepare.folder) == [
        "images",
        "images/n1",
        "images/n1/1.jpg",
        "images/n1/2.jpg",
    ]
    data = tarred(("r/data/v.txt", b"v"), ("r/data/pics/1", b"x"), ("r/README", b"x"), mode="w")
    deep = Source(site.add("d.tar", data), "d.tar", ("pics", "v.txt"))
    assert (
        prepare(deep) == 0 and {"pics/1", "v.txt"} <= set(tree(prepare.folder)) and "README" not in tree(prepare.folder)
    )


def test_an_archive_without_what_is_wanted(site, prepare, capsys):
    assert prepare(Source(site.add("x.zip", zipped({"other": b"x"})), "x.zip", ("jpg",))) == 2
    assert "does not hold jpg" in capsys.readouterr().err and "jpg" not in tree(prepare.folder)


def symlink_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("images/link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc")
    return buffer.getvalue()


def hard_link_tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("images/link")
        info.type, info.linkname = tarfile.LNKTYPE, "../../../etc/passwd"
        archive.addfile(info)
    return buffer.getvalue()


OUTSIDE = {
    "dots.tar": tarred(("images/1", b"x"), ("../evil", b"x"), mode="w"),
    "inner_dots.tar.gz": tarred(("images/../../evil", b"x")),
    "absolute.tar.gz": tarred(("/tmp/prepare_evil", b"x")),
    "link.tar.gz": tarred(("images/link", "../../.."), ("images/link/evil", b"x")),
    "absolute_link.tar.gz": tarred(("images/link", "/etc/passwd")),
    "chain.tar.gz": tarred(("d", None), ("d/e", None), ("d/e/up", "../.."), ("d/e/up/evil", b"x")),
    "hard_link.tar.gz": hard_link_tar(),
    "dots.zip": zipped({"images/1": b"x", "../evil": b"x"}),
    "absolute.zip": zipped({"/tmp/prepare_evil": b"x"}),
    "windows.zip": zipped({"..\\evil": b"x"}),
    "drive.zip": zipped({"C:\\evil": b"x"}),
    "link.zip": symlink_zip(),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_members_that_point_outside_are_refused(name, site, prepare, tmp_path, capsys):
    assert prepare(Source(site.add(name, OUTSIDE[name]), name, ("images",))) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "is refused: its member" in error
    assert not list(tmp_path.rglob("evil")) and not Path("/tmp/prepare_evil").exists()
    assert [path for path in tree(prepare.folder) if not path.startswith(".download")] == []
    assert not (prepare.folder / ".download" / "unpacked").exists()


def test_a_link_that_stays_inside_is_kept(tmp_path):
    (tmp_path / "a.tar").write_bytes(tarred(("d/1", b"x"), ("d/2", "1"), mode="w"))
    unpack(tmp_path / "a.tar", tmp_path / "out")
    assert (tmp_path / "out" / "d" / "2").read_bytes() == b"x"


def test_google_drive_without_gdown_is_said_before_anything_is_fetched(site, prepare, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert prepare(images(site), Source("gdrive:ID", "split.json", ("split.json",))) == 2
    assert "pip install gdown" in capsys.readouterr().err and not site.requests and not prepare.folder.exists()


def test_google_drive(prepare, monkeypatch, capsys):
    answers = {"text": '{"train": []}'}

    def download(id, output, quiet, resume):
        if answers["text"] is None:
            raise RuntimeError("too many users\nhave looked at it")
        Path(output).write_text(answers["text"])
        return output

    fake = types.ModuleType("gdown")
    fake.download, fake.__spec__ = download, types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "gdown", fake)
    source = Source("gdrive:ID", "split.json", ("split.json",))
    answers["text"] = None
    assert prepare(source) == 2
    error = capsys.readouterr().err
    assert "too many users" in error and "drive.google.com/file/d/ID/view" in error and error.count("\n") == 1
    answers["text"] = "<!DOCTYPE html>sign in"
    assert (
        prepare(source) == 2 and "sent something else than" in capsys.readouterr().err and not prepare.folder.exists()
    )
    answers["text"] = '{"train": []}'
    assert prepare(source) == 0 and json.loads((prepare.folder / "split.json").read_text()) == {"train": []}


def test_a_copy_at_hand_is_used(prepare, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (tmp_path / "root" / "imagenet").mkdir(parents=True)
    (tmp_path / "root" / "imagenet" / "classnames.txt").write_text("n01440764 tench\n")
    source = next(s for s in RECIPES["ImageNetA"] if s.file == "classnames.txt")
    assert prepare(source) == 0 and (prepare.folder / "classnames.txt").read_text() == "n01440764 tench\n"


def test_two_at_a_time(site, prepare, capsys):
    (prepare.folder / ".download").mkdir(parents=True)
    with FileLock(prepare.folder / ".download" / "lock"):
        assert prepare(images(site)) == 2
    assert "another process" in capsys.readouterr().err and not site.requests


def test_a_root_that_cannot_be_made(site, prepare, capsys):
    prepare.folder.parent.write_text("a file")
    assert prepare(images(site)) == 2 and "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("name", STEPS)
def test_steps_are_printed_and_nothing_is_written(name, tmp_path, capsys):
    assert main(["prepare", name, "--root", str(tmp_path / "my data")]) == 0
    out = capsys.readouterr().out
    assert "  1. " in out and "  3. " in out and str(tmp_path / "my data") in out and "{" not in out
    assert "doctor" in out and not tree(tmp_path)


def test_every_published_set_has_a_recipe_or_steps():
    loaders = {name: DATASET_REGISTRY.get(name) for name in DATASET_REGISTRY.registered_names()}
    published = {name for name, loader in loaders.items() if getattr(loader, "sizes", None)}
    assert set(RECIPES) | set(STEPS) >= published and not set(RECIPES) & set(STEPS)
    assert len(RECIPES) + len(STEPS) >= 17
    for name in RECIPES:
        loader, sources = loaders[name], RECIPES[name]
        given = {gives for source in sources for gives in source.gives}
        wanted = {path.partition("/")[0] for path in loader.needs} | ({loader.split_file} - {""})
        assert wanted <= given, name
        for source in sources:
            assert source.checksum is None or re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", source.checksum)
            assert source.url.startswith(("https://", "http://", "gdrive:")) and source.gives


def test_generated_sets_are_made(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("datasets.embedded.make.ensure", lambda stem, folder: Path(folder).mkdir(parents=True))
    assert main(["prepare", "digits", "--root", str(tmp_path)]) == 0 and tree(tmp_path) == ["digits"]


@pytest.mark.parametrize("name, says", [("imagnet", "nearest: imagenet"), ("folder", "your own")])
def test_unknown_names(name, says, tmp_path, capsys):
    assert main(["prepare", name, "--root", str(tmp_path)]) == 2 and says in capsys.readouterr().err


def test_the_source_of_a_text_names_its_page():
    assert Source("gdrive:X", "a.json", ("a.json",)).page == "https://drive.google.com/file/d/X/view"
    with pytest.raises(InputError, match="data"):
        layout._only(Path(__file__).parent / "nowhere", "data")
