"""The settings and the model behind a result, as recorded by the run and by the training of its model.

Seeds, folders, keys without an effect on numbers, and the half of the classes (base or new) are left out: two runs of
one cell of a table should not differ in anything else. A value that a record does not have is unknown, and does not
count as a difference.
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
# Lines of the config, as `write_json` writes them, that differ between runs of one cell and are not compared.
_OWN_LINES = re.compile(rb'\n {8}(?:"(?:SEED|OUTPUT_DIR|RESUME)"|    "(?:SUBSAMPLE_CLASSES|ROOT)"): [^\n]*')
_SEED = re.compile(rb"seed\d+")  # begins with letters, which are searched for many times as fast as a look behind
# Of a test, these keys come from the training of its model; the others are its own.
TRAINING = ("OPTIM.", "TRAIN.", "TRAINER.", "LOSS.", "DATASET.NOISE.", "DATASET.NUM_SHOTS", "DATALOADER.TRAIN_")
AT_TEST = " at the test"
CLEAN = "right labels"
OLDER = "an older model"
VALIDATION = "validation images"  # of a result that is not of test images
LARGEST = 64 * 2**20  # bytes; larger checkpoints are not hashed, since that is slow


@dataclass(frozen=True, eq=False)
class Account:
    """The settings behind one result.

    mark: a hash that is equal for equal settings. facts: what the record has beside its config. always: remarks that
    every table shows (attacked, an older model). tested: the result is a test of a model that another run trained;
    trained: the account of that run, if it is found.
    """

    file: str
    mark: str
    facts: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    always: tuple[str, ...] = ()
    tested: bool = False
    trained: Account | None = None
    noise: tuple[str, float] | None = None  # type and rate of the training's label noise; NaN: not known
    dataset: str = ""  # its registered name
    half: str = "all"  # of the classes
    seed: int | None = None
    learns: bool = True  # whether the run, or the one whose model it tests, has trained
    attack: str = ""  # such as pgd-eps4-100, on a finished set of attacked pictures

    @property
    def labels(self) -> str:
        """The kind of training labels in words; "" if it is not known."""
        return self.facts.get("noise", "")

    @property
    def training(self) -> str:
        """The mark of the training run; "" if it is not known."""
        return self.trained.mark if self.trained else "" if self.tested else self.mark


def account(file: str | Path, record: Mapping, config: bytes) -> Account:
    """The account of a result. record, config: as given by `files.open_record`."""
    tested = bool(record.get("model_dir"))
    trained, older = _training(Path(file), record) if tested else (None, False)
    facts = _facts(record)
    noise = trained.noise if trained else _noise(record)
    if trained and "noise" in trained.facts:
        facts["noise"] = trained.facts["noise"]
    elif tested and facts.get("noise") == CLEAN:
        del facts["noise"]  # a test records its own labels, not those of the training
    attack = _attack(record)
    own = hashlib.blake2b(_SEED.sub(b"seed", _OWN_LINES.sub(b"", config)) or _bare(file, record), digest_size=16)
    own.update(json.dumps([facts, attack, trained.mark if trained else ""]).encode())
    data = record.get("data") if isinstance(record.get("data"), dict) else {}
    told = {"test list": (data.get("test") or {}).get("sha256"), "class names": data.get("classes")}
    told = {key: str(value) for key, value in told.items() if value}
    learns = tested or record.get("mode") != "test"
    dataset, half = (str(record.get(key) or "") for key in ("dataset", "subsample_classes"))
    told |= {key: value for key, value in {"dataset": dataset, "classes": half}.items() if value}
    met = (f"attacked by {attack}" if attack else "", VALIDATION if record.get("split") == "val" else "")
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
    """{key: its value in each account} of the settings that differ. training: only settings of the training."""
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
    """{key: value} of all settings; for a test, those of the training come from the run that trained its model."""
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
    """Time and size of the file, which change with it; it is the key of caches."""
    with suppress(OSError):
        found = os.stat(file)
        return found.st_mtime_ns, found.st_size
    return 0, 0


@functools.lru_cache(maxsize=256)
def _config_of(file: str, stamp: tuple[int, int]) -> dict[str, object]:
    """{dotted key: value} of a run's config; empty if it is not recorded."""
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
    """The settings in the first line of config.yaml, for evaluations under attack and old runs."""
    with suppress(*DAMAGE), Path(file).with_name("config.yaml").open(encoding="utf-8") as stream:
        found = json.loads(stream.readline().removeprefix("# settings: "))
        return found if isinstance(found, dict) else {}
    return {}


def _bare(file: str | Path, record: Mapping) -> bytes:
    """The config as sorted JSON, for a record that is not formatted as by `write_json`."""
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
    """The name of the attack as in names of folders, such as pgd-eps4-100; "" without one."""
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
    """(account of the run that trained the model, or None; whether its model has changed since the test)."""
    first = None
    for folder in _folders(file, str(record["model_dir"])):
        there = str(folder / "results.json")
        trained = _trained(there, _stamp(there))
        if trained is None:
            continue
        if not _changed(folder, record, trained[1]):
            return trained[0], False
        first = first or trained[0]
    return (None, True) if first else (None, False)  # the settings of the older training are not known


def _another_seed(record: Mapping, trained: Account | None) -> str:
    """A remark if the tested model has another seed than the test; else ""."""
    named = re.search(r"seed(\d+)/*$", str(record.get("model_dir") or ""))
    seed = trained.seed if trained else int(named[1]) if named else None
    return f"the model of seed {seed}" if seed not in (None, record.get("seed")) else ""


def _folders(file: Path, model: str) -> Iterator[Path]:
    """Folders in which the model may lie: the one that the test recorded, or, if results were moved, one near the
    test."""
    given = Path(model)
    yield from dict.fromkeys([given.absolute(), PROJECT / given])
    parts = given.parts
    for above in file.absolute().parents[1:]:
        for i in range(max(1, len(parts) - 3)):  # at least <dataset>/<method>/<config>/<seed>
            if (folder := above.joinpath(*parts[i:])).is_dir():
                yield folder


@functools.lru_cache(maxsize=4096)
def _trained(file: str, stamp: tuple[int, int]) -> tuple[Account, str] | None:
    """(account, time of the end) of a training run; None if it is none."""
    with suppress(*DAMAGE):
        record, config = open_record(file)
        if not record.get("model_dir"):
            return account(file, check_record(record), config), str(record.get("finished") or "")
    return None


def _changed(folder: Path, record: Mapping, finished: str) -> bool:
    """Whether the folder's weights are not those that were tested. Without hashes: whether it was trained later."""
    if hashes := hashes_in(folder):
        wanted = record.get("model_sha256")
        return bool(wanted) and wanted not in hashes
    return bool(record.get("finished") and finished) and _later(finished, str(record["finished"]))


def hashes_in(folder: Path) -> frozenset[str]:
    """`runs.tested_model.weights_hash` of each epoch whose weights a run's folder has; empty for large files."""
    return _hashes(tuple((str(file), _stamp(file)) for file in sorted(folder.glob("*/model*.pth.tar*"))))


@functools.lru_cache(maxsize=4096)
def _hashes(files: tuple[tuple[str, tuple[int, int]], ...]) -> frozenset[str]:
    """`runs.tested_model.weights_hash` of each epoch that has files; empty if the files are too large."""
    if any(size > LARGEST for _, (_, size) in files):
        return frozenset()
    epochs: dict[str, str] = defaultdict(str)
    for file in (Path(name) for name, _ in files):
        epochs[file.name] += f"{file.parent.name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n"
    return frozenset(hashlib.sha256(text.encode()).hexdigest()[:16] for text in epochs.values())


def _later(one: str, other: str) -> bool:
    """Whether time `one` is later than `other`; both have the format of results.json."""
    with suppress(ValueError):
        form = "%Y-%m-%dT%H:%M:%S%z"
        return datetime.strptime(one, form) > datetime.strptime(other, form)
    return False
