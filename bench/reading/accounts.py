"""What a result is a result of: its settings and its model, as the run recorded them, and those of its training.

Seeds, folders, keys without an effect on numbers, and the classes that a protocol chooses (base or new) are left out:
two runs of one cell of a table should not differ in anything else. What a record does not say is not known, and differs
from nothing.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from pathlib import Path

from runs.silent_keys import LATER, NO_EFFECT

from .files import DAMAGE, check_record, open_record, read_json

PROJECT = Path(__file__).resolve().parents[2]
LEFT_OUT = {*NO_EFFECT, "SEED", "DATASET.SUBSAMPLE_CLASSES", "DATASET.NOISE.MANIFEST", "mode", "model"}
# Lines of config that differ between runs of one cell, as `write_json` writes them: equal without them, equal settings.
_OWN_LINES = re.compile(
    rb'\n {8}"(?:SEED|OUTPUT_DIR|RESUME)": [^\n]*|\n {12}"(?:SUBSAMPLE_CLASSES|ROOT)": [^\n]*|(?<=seed)\d+'
)
# Of a test, these are what its model was trained with; the rest is its own.
TRAINING = ("OPTIM.", "TRAIN.", "TRAINER.", "LOSS.", "DATASET.NOISE.", "DATASET.NUM_SHOTS", "DATALOADER.TRAIN_")
AT_TEST = " at the test"
CLEAN = "right labels"
OLDER = "an older model"
LARGEST = 64 * 2**20  # bytes of a checkpoint that is hashed for a table


@dataclass(frozen=True, eq=False)
class Account:
    """mark: equal where nothing differs. facts: what the record says beside its config. always: what is to be said of
    the result wherever it stands (attacked, an older model). trained: of the run whose model was tested, where it is
    there; tested: a model was tested that another run trained."""

    file: str
    mark: str
    facts: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    always: tuple[str, ...] = ()
    tested: bool = False
    trained: Account | None = None
    noise: tuple[str, float] | None = None  # type and rate of the wrong labels that were trained on; NaN: not known
    dataset: str = ""  # its registered name
    half: str = "all"  # of the classes
    seed: int | None = None
    learns: bool = True  # it, or the run whose model it tests, has trained
    attack: str = ""  # such as pgd-eps4-100, on a finished set of attacked pictures

    @property
    def labels(self) -> str:
        """The training labels, in words; "" where that is not known."""
        return self.facts.get("noise", "")

    @property
    def training(self) -> str:
        """The mark of the training; "" where that is not known."""
        return self.trained.mark if self.trained else "" if self.tested else self.mark


def account(file: str | Path, record: Mapping, config: bytes) -> Account:
    """Of a result; record and config as `files.open_record` gives them."""
    tested = bool(record.get("model_dir"))
    trained, older = _training(Path(file), record) if tested else (None, False)
    facts = _facts(record)
    noise = trained.noise if trained else _noise(record)
    if trained and "noise" in trained.facts:
        facts["noise"] = trained.facts["noise"]
    elif tested and facts.get("noise") == CLEAN:
        del facts["noise"]  # a test's own labels, not those of the training
    attack = _attack(record)
    own = hashlib.blake2b(_OWN_LINES.sub(b"", config) or _bare(file, record), digest_size=16)
    own.update(json.dumps([facts, attack, trained.mark if trained else ""]).encode())
    data = record.get("data") if isinstance(record.get("data"), dict) else {}
    told = {"test list": (data.get("test") or {}).get("sha256"), "class names": data.get("classes")}
    told = {key: str(value) for key, value in told.items() if value}
    learns = tested or record.get("mode") != "test"
    dataset, half = (str(record.get(key) or "") for key in ("dataset", "subsample_classes"))
    told |= {key: value for key, value in {"dataset": dataset, "classes": half}.items() if value}
    met = (f"attacked by {attack}" if attack else "", "validation images" if record.get("split") == "val" else "")
    always = tuple(filter(None, (*met, _another_seed(record, trained), OLDER if older else "")))
    return Account(
        str(file),
        own.hexdigest(),
        facts,
        told,
        always,
        tested,
        trained,
        noise,
        dataset,
        half,
        record.get("seed"),
        learns,
        attack,
    )


def differing(accounts: list[Account], training: bool = False) -> dict[str, list[object]]:
    """{key: its value in each} of the settings that are not the same in all. training: only those of the training."""
    every = [settings(each.trained or each if training else each) for each in accounts]
    if training:
        every = [
            {k: v for k, v in one.items() if k.startswith(TRAINING) or k in ("noise", "backbone", "precision")}
            for one in every
        ]
    found = {}
    for key in dict.fromkeys(key for one in every for key in one):
        absent = LATER.get(key)
        values = [one.get(key, one.get(key.removesuffix(AT_TEST), absent)) for one in every]
        if len({json.dumps(value) for value in values if value is not None}) > 1:
            found[key] = values
    if "noise" in found:
        found = {key: values for key, values in found.items() if not key.startswith("DATASET.NOISE.")}
    return found


def settings(each: Account) -> dict[str, object]:
    """{key: value}, of a test with what its model was trained with."""
    own = _config(each.file)
    if each.trained:
        theirs = {key: value for key, value in _config(each.trained.file).items() if key.startswith(TRAINING)}
        other = {k + AT_TEST: v for k, v in own.items() if k.startswith("TRAINER.") and theirs.get(k, v) != v}
        own = own | theirs | other
    if "backbone" in each.facts:
        own = {key: value for key, value in own.items() if key != "MODEL.BACKBONE.PATH"}
    return own | each.facts | each.data


def _config(file: str) -> dict[str, object]:
    return _config_of(file, _stamp(file))


def _stamp(file: str | Path) -> tuple[int, int]:
    """Another one, where the file has changed."""
    with suppress(OSError):
        found = os.stat(file)
        return found.st_mtime_ns, found.st_size
    return 0, 0


@functools.lru_cache(maxsize=256)
def _config_of(file: str, stamp: tuple[int, int]) -> dict[str, object]:
    """{dotted key: value} of a run's config; empty where nothing says it."""
    with suppress(*DAMAGE):
        record = read_json(file) if Path(file).exists() else {}
        leaves = dict(_leaves(record["config"])) if "config" in record else _settings_beside(file)
        found = {key: value for key, value in leaves.items() if key not in LEFT_OUT}
        if own := next((each for key, each in leaves.items() if key == "TRAINER.NAME"), None):
            found["TRAINER.NAME"] = own
        return {k: re.sub(r"(?<=seed)\d+", "", v) if isinstance(v, str) else v for k, v in found.items()}
    return {}


def _leaves(node: Mapping, above: str = "") -> Iterator[tuple[str, object]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _settings_beside(file: str | Path) -> dict[str, object]:
    """The first line of config.yaml, of evaluations under attack and of old runs."""
    with suppress(*DAMAGE), Path(file).with_name("config.yaml").open(encoding="utf-8") as stream:
        found = json.loads(stream.readline().removeprefix("# settings: "))
        return found if isinstance(found, dict) else {}
    return {}


def _bare(file: str | Path, record: Mapping) -> bytes:
    """What stands for the config where it is not as `write_json` writes it."""
    leaves = dict(_leaves(record["config"])) if isinstance(record.get("config"), dict) else _settings_beside(file)
    return json.dumps({k: v for k, v in leaves.items() if k not in LEFT_OUT}, sort_keys=True).encode()


def _facts(record: Mapping) -> dict[str, str]:
    found = {}
    if weights := (record.get("backbone") or {}).get("sha256"):
        found["backbone"] = str(weights)[:12]
    if record.get("precision"):
        found["precision"] = str(record["precision"])
    if "noise" in record:
        kind = _noise(record)
        found["noise"] = noise_words(*kind) if kind and kind[1] else CLEAN
    return found


def _noise(record: Mapping) -> tuple[str, float] | None:
    noise = record.get("noise") or {}
    rate = noise.get("rate")
    rate = float(rate) if isinstance(rate, (int, float)) else float("nan")
    return (str(noise.get("type") or "noise"), rate) if noise else None


def noise_words(kind: str, rate: float) -> str:
    return kind if rate != rate else f"{kind} {100 * rate:g} %"


def _attack(record: Mapping) -> str:
    """As folders name it."""
    found = record.get("adversarial")
    if not isinstance(found, dict):
        return ""
    words = [str(found.get("attack") or "attack")]
    with suppress(ValueError, ZeroDivisionError):
        words += [f"eps{float(255 * Fraction(str(found['eps']))):g}"] if found.get("eps") else []
    parameters = found.get("parameters") or [{}]
    first = parameters[0] if isinstance(parameters, list) and isinstance(parameters[0], dict) else {}
    return "-".join([*words, *([str(first["steps"])] if "steps" in first else [])])


# ---------------------------------------------------------------------- the model of a test


def _training(file: Path, record: Mapping) -> tuple[Account | None, bool]:
    """(the training run of the model, was it another model than is there now?)."""
    first = None
    for folder in _folders(file, str(record["model_dir"])):
        there = str(folder / "results.json")
        trained = _trained(there, _stamp(there))
        if trained is None:
            continue
        if not _changed(folder, record, trained[1]):
            return trained[0], False
        first = first or trained[0]
    return (None, True) if first else (None, False)  # what the older model was trained with is not known


def _another_seed(record: Mapping, trained: Account | None) -> str:
    """In words, where the model is that of another seed: then the test is no run of its own."""
    named = re.search(r"seed(\d+)/*$", str(record.get("model_dir") or ""))
    seed = trained.seed if trained else int(named[1]) if named else None
    return f"the model of seed {seed}" if seed not in (None, record.get("seed")) else ""


def _folders(file: Path, model: str) -> Iterator[Path]:
    """Where the model's folder may be: as the test named it, or, of results that were moved, beside the test."""
    given = Path(model)
    yield from dict.fromkeys([given.absolute(), PROJECT / given])
    parts = given.parts
    for above in file.absolute().parents[1:]:
        for i in range(max(1, len(parts) - 3)):  # at least <dataset>/<method>/<config>/<seed>
            if (folder := above.joinpath(*parts[i:])).is_dir():
                yield folder


@functools.lru_cache(maxsize=4096)
def _trained(file: str, stamp: tuple[int, int]) -> tuple[Account, str] | None:
    """(account, when it was finished) of a training run."""
    with suppress(*DAMAGE):
        record, config = open_record(file)
        if not record.get("model_dir"):
            return account(file, check_record(record), config), str(record.get("finished") or "")
    return None


def _changed(folder: Path, record: Mapping, finished: str) -> bool:
    """Holds the folder other weights than were tested? Where no file tells, the later training does."""
    files = tuple((str(file), _stamp(file)) for file in sorted(folder.glob("*/model*.pth.tar*")))
    if hashes := _hashes(files):
        wanted = record.get("model_sha256")
        return bool(wanted) and wanted not in hashes
    return bool(record.get("finished") and finished) and _later(finished, str(record["finished"]))


@functools.lru_cache(maxsize=4096)
def _hashes(files: tuple[tuple[str, tuple[int, int]], ...]) -> frozenset[str]:
    """`runs.tested_model.weights_hash` of each epoch that there are files of; none where that is too much to read."""
    if any(size > LARGEST for _, (_, size) in files):
        return frozenset()
    epochs: dict[str, str] = defaultdict(str)
    for file in (Path(name) for name, _ in files):
        epochs[file.name] += f"{file.parent.name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n"
    return frozenset(hashlib.sha256(text.encode()).hexdigest()[:16] for text in epochs.values())


def _later(one: str, other: str) -> bool:
    """Of two times as results.json has them."""
    with suppress(ValueError):
        form = "%Y-%m-%dT%H:%M:%S%z"
        return datetime.strptime(one, form) > datetime.strptime(other, form)
    return False
