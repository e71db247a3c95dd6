"""`robustprompt list` reads the source; it says what the registries say."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import trainers  # noqa: F401  registers the methods
from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY
from robustprompt import listing
from runs.protocols import PROTOCOLS

ROOT = Path(__file__).resolve().parents[2]


def test_methods_are_those_of_the_registry():
    """Other tests may have put methods on more hosts; these are known by their `host`."""
    listed = {name for name, _ in listing.methods()}
    classes = {name: TRAINER_REGISTRY.get(name) for name in TRAINER_REGISTRY.registered_names()}
    ours = {name for name, kind in classes.items() if kind.__module__.startswith("trainers.")}
    assert listed <= ours and len(listed) > 60
    assert all(hasattr(classes[name], "host") for name in ours - listed if "@" not in name)
    assert all(about and about[0].isupper() for _, about in listing.methods())


def test_datasets_protocols_and_suites_are_those_of_the_tree():
    rows = listing.datasets()
    assert {stem for stem, *_ in rows} == {file.stem for file in (ROOT / "configs" / "datasets").glob("*.yaml")}
    assert all(name in DATASET_REGISTRY for _, name, _ in rows)
    assert [name for name, _ in listing.protocols()] == list(PROTOCOLS)
    assert all(about for _, about in listing.protocols())
    assert all((ROOT / file).is_file() and about for file, about in listing.suites())


def test_names_alone():
    assert listing.listing(["protocols"], names=True).splitlines() == list(PROTOCOLS)
    text = listing.listing(["methods", "suites"])
    assert "\n\n25 suites\n" not in text or len(listing.suites()) == 25
    assert text.startswith(f"{len(listing.methods())} methods\n") and f"\n\n{len(listing.suites())} suites\n" in text


def test_it_answers_at_once_without_torch():
    """In CPU seconds of a process of its own, since this computer may be busy."""
    code = (
        "import json, sys, time; from robustprompt.entrance import main; code = main(['list']);"
        "print(json.dumps([code, time.process_time(), 'torch' in sys.modules, 'pandas' in sys.modules]))"
    )
    before = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    exit_code, seconds, torch, pandas = json.loads(done.stdout.splitlines()[-1])
    assert (exit_code, torch, pandas) == (0, False, False) and seconds < 2 < 2 + time.perf_counter() - before
