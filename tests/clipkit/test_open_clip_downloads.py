"""Downloads through open_clip and huggingface_hub, from a hub in this process, with their progress."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from open_clip_families import make_folder

from clipkit import ImageEncoder, TextEncoder, load_clip
from clipkit.__main__ import run

pytest.importorskip("open_clip")
pytest.importorskip("transformers")
hub = pytest.importorskip("huggingface_hub")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Terminal(io.StringIO):
    """An error output in which progress bars are drawn."""

    def isatty(self) -> bool:
        return True


class Hub(BaseHTTPRequestHandler):
    """Answers for /ORG/NAME/resolve/REVISION/FILE and /api/models/ORG/NAME/revision/REVISION from a folder of
    repositories."""

    def __init__(self, root: Path, *args: object) -> None:
        self.root = root
        super().__init__(*args)  # type: ignore[arg-type]

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def do_GET(self, body: bool = True) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[0] == "api":
            files = [{"rfilename": file.name} for file in (self.root / parts[2] / parts[3]).glob("*")]
            return self.send(json.dumps({"id": "/".join(parts[2:4]), "sha": COMMIT, "siblings": files}).encode(), body)
        file = self.root / parts[0] / parts[1] / parts[-1]
        if file.is_file():
            return self.send(file.read_bytes(), body)
        self.send_response(404)
        self.send_header("X-Error-Code", "EntryNotFound" if file.parent.is_dir() else "RepoNotFound")
        self.send_header("Content-Length", "0")
        return self.end_headers()

    def send(self, content: bytes, body: bool) -> None:
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)


@pytest.fixture
def repositories(tmp_path, monkeypatch):
    """The folder of a hub's repositories, which is asked in the place of Hugging Face's; its cache is empty."""
    root = tmp_path / "hub"
    root.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, root))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    constants = hub.constants
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
    for name, value in {
        "ENDPOINT": address,
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_XET": True,
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setattr("huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield root
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("family", ["A", "C", "E"])
def test_a_repository_of_the_hub_is_fetched_with_progress_and_read_offline(
    family, repositories, tmp_path, capsys, monkeypatch
):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    (repositories / "test").mkdir()
    theirs = make_folder(repositories / "test" / "tower", family)
    assert run(["fetch", "hf-hub:test/tower", "--to", str(tmp_path / "fetched")]) == 0
    assert "MODEL.BACKBONE.NAME local-dir:" in capsys.readouterr().out
    assert "open_clip_model.safetensors: 100%" in terminal.getvalue()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("hf-hub:test/tower", f"local-dir:{tmp_path / 'fetched'}"):  # from the cache, and from the folder
        ours = load_clip(name)
        image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        ids = TextEncoder(ours).tokenizer.ids(["a photo of a cat", "two small dogs"])
        with torch.no_grad():
            torch.testing.assert_close(ImageEncoder(ours)(image), theirs.encode_image(image), atol=1e-5, rtol=1e-4)
            found = TextEncoder(ours).encode_texts(["a photo of a cat", "two small dogs"], normalized=False)
            torch.testing.assert_close(found, theirs.encode_text(ids), atol=1e-5, rtol=1e-4)


def test_a_tag_of_open_clip_is_fetched_through_the_hub(repositories, tmp_path, monkeypatch):
    """Its configuration and preprocessing are written beside it."""
    place = repositories / "laion" / "CLIP-ViT-B-16-laion2B-s34B-b88K"
    place.mkdir(parents=True)
    (place / "open_clip_model.safetensors").write_bytes(b"weights " * 1000)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    assert run(["fetch", "open_clip:ViT-B-16:laion2b_s34b_b88k", "--to", str(tmp_path / "fetched")]) == 0
    assert "open_clip_model.safetensors: 100%" in terminal.getvalue()
    assert (tmp_path / "fetched" / "open_clip_model.safetensors").read_bytes() == b"weights " * 1000
    config = json.loads((tmp_path / "fetched" / "open_clip_config.json").read_text())
    assert config["model_cfg"]["vision_cfg"]["patch_size"] == 16 and not config["model_cfg"].get("quick_gelu")
    assert config["preprocess_cfg"]["mean"][0] == pytest.approx(0.4815, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hf-hub:test/none", "hf-hub:test/none (open_clip_config.json) could not be downloaded"),
        ("hf-hub:test/bare", "hf-hub:test/bare (open_clip_pytorch_model.bin) could not be downloaded"),
        ("open_clip:ViT-B-16:laion2b_s34b_b88k", "open_clip:ViT-B-16:laion2b_s34b_b88k could not be downloaded"),
    ],
)
def test_what_the_hub_does_not_have(name, words, repositories, tmp_path, capsys):
    (repositories / "test" / "bare").mkdir(parents=True)
    (repositories / "test" / "bare" / "open_clip_config.json").write_text("{}")
    assert run(["fetch", name, "--to", str(tmp_path / "fetched")]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1 and words in error[0] and "local-dir:FOLDER" in error[0]
    assert not (tmp_path / "fetched").exists()
