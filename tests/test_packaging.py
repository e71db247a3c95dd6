"""`pip install .` brings dassl, clipkit and robustprompt; never `datasets` or `trainers`, which others have too."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import clipkit

ROOT = Path(__file__).resolve().parent.parent


def test_the_wheel_holds_three_packages_and_a_command(tmp_path):
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
    ]
    copy = tmp_path / "source"  # building writes beside the sources
    parts = [
        "dassl",
        "clipkit",
        "robustprompt",
        "datasets",
        "trainers",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "LICENSES",
    ]
    listing = subprocess.run(["git", "ls-files", *parts], cwd=ROOT, capture_output=True, text=True, check=True)
    files = listing.stdout.split()
    for name in files:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([*command, str(copy)], check=True, capture_output=True)
    wheel = next(tmp_path.glob("*.whl"))
    names = zipfile.ZipFile(wheel).namelist()
    tops = {n.split("/")[0] for n in names if not n.split("/")[0].endswith(".dist-info")}
    assert tops == {"dassl", "clipkit", "robustprompt"}
    entry = zipfile.ZipFile(wheel).read(f"robustprompt-{clipkit.__version__}.dist-info/entry_points.txt").decode()
    assert entry.split() == ["[console_scripts]", "robustprompt", "=", "robustprompt.entrance:installed"]
    assert {"clipkit/embedded/clip.safetensors", "clipkit/py.typed", "clipkit/openai_clip.pyi", "dassl/py.typed"} <= {
        *names
    }
    home = f"robustprompt-{clipkit.__version__}.dist-info/licenses"
    assert {f"{home}/LICENSE", f"{home}/LICENSES/OpenAI-CLIP.txt"} <= set(names)


def test_every_requirement_is_pinned():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    lines = [line.partition("#")[0].strip() for line in lines]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+==[\w.]+", line) for line in lines if line)


def test_the_engine_knows_nothing_of_clip_and_the_backbone_nothing_of_methods():
    """Dependencies point one way; `clipkit` must also run beside upstream Dassl."""
    forbidden = {"dassl": "clip|clipkit|trainers|datasets|language|runs|bench",
                 "clipkit": "dassl|trainers|datasets|language|runs|bench",
                 "language": "trainers|runs|bench", "robustprompt": "bench|trainers|train|predict",
                 "trainers": "runs|bench|train"}  # fmt: skip
    for package, others in forbidden.items():
        for file in (ROOT / package).rglob("*.py"):
            found = re.findall(rf"^\s*(?:from|import) ({others})\b", file.read_text(), re.M)
            assert not found, f"{file.relative_to(ROOT)} imports {found}"
