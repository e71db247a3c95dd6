"""The settings of a run of train.py from its arguments, as `runs.folder.settings` finds them, without torch.

Plain dictionaries in place of yacs, each YAML file read once: thousands of runs resolve in a second or two. A config
pair is still merged by `runs.config.merge_pairs`, once for each value, so that types and errors are train.py's.
"""

from __future__ import annotations

import functools
import hashlib
import json
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from yacs.config import CfgNode

from dassl.config import add_keys
from dassl.config.allowed import OPEN
from dassl.utils import InputError
from interop.plugins.names import OURS, plain
from runs.config import merge_pairs
from runs.noise_check import check_noise
from runs.yaml_file import read_leaves

from .known import ROOT, Known, View

SEED, MODEL = "\x01seed\x01", "\x01model\x01"  # stand for what differs between runs of one kind
_SEED, _MODEL = json.dumps(SEED), json.dumps(MODEL)
OLDER = ("DATASET.NOISE_TYPE", "DATASET.NOISE_RATE", "DATASET.NOISE_LABEL", "DATASET.NUM_FP")
TOWER = ("MODEL.BACKBONE.VISUAL_WEIGHTS", "MODEL.BACKBONE.VISUAL_WEIGHTS_KEY")


@dataclass(frozen=True)
class Arguments:
    """train.py's, as `runs.arguments` writes them, without what says where a run lies."""

    trainer: str
    dataset_file: str
    config_file: str
    opts: tuple[str, ...]
    test: bool  # --eval-only
    model: bool  # --model-dir is given

    @classmethod
    def of(cls, argv: Sequence[str]) -> tuple[Arguments, int, str]:
        """(arguments, seed, output folder)."""
        found: dict[str, str] = {}
        i = 0
        while i < len(argv) and argv[i].startswith("--"):
            if argv[i] == "--eval-only":
                found[argv[i]] = "yes"
                i += 1
            else:
                found[argv[i]] = argv[i + 1]
                i += 2
        trainer = found["--trainer"].removesuffix(f"@{OURS}")
        own = cls(
            trainer, found["--dataset-config-file"], found["--config-file"], tuple(argv[i:]),
            "--eval-only" in found, "--model-dir" in found,
        )  # fmt: skip
        return own, int(found["--seed"]), found["--output-dir"]


@dataclass(frozen=True, eq=False)
class Resolved:
    """Settings of the runs that differ in seed and folders alone. `text`: they as JSON, sorted, seed and model open.

    architecture: those of them that travel in the checkpoint. epochs: OPTIM.MAX_EPOCH.
    """

    text: str
    architecture: Mapping[str, object]
    epochs: int

    def hash(self, seed: int, model: str = MODEL) -> str:
        """`settings_hash` of the run. model: FOLDER@EPOCH that it tests; without it: over everything else."""
        text = self.text.replace(_SEED, str(seed)).replace(_MODEL, json.dumps(model))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Resolver:
    """Resolves arguments; what it has resolved once it remembers."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self._scratch = CfgNode()
        add_keys(self._scratch, known.defaults)
        # Methods of plugins may read keys of ours in their own way; train.py knows which method a value is for.
        self._domains = {
            key: domain
            for key, domain in known.domains.items()
            if not known.from_plugins or not (key.startswith("TRAINER.") or key in OPEN or key == "TASK")
        }
        self._values: dict[tuple[str, str], object] = {}
        self._files: dict[str, dict[str, object]] = {}
        self._resolved: dict[tuple, Resolved] = {}

    def resolve(
        self, arguments: Arguments, trained: Resolved | None = None, evaluation: str = "", where: str = "the run"
    ) -> Resolved:
        """trained: the training run whose weights are tested; they bring their architecture along. evaluation: the
        mode of an evaluation under attack. Raises InputError, naming `where`, for keys and values that cannot be."""
        key = (arguments, id(trained), evaluation)  # `trained` lives as long as this resolver
        if key not in self._resolved:
            self._resolved[key] = self._resolve(arguments, trained, evaluation, where)
        return self._resolved[key]

    def value(self, key: str, value: object, where: str) -> object:
        """As the key's type has it. Raises InputError for unknown keys and other types."""
        if (place := (key, repr(value))) not in self._values:
            merge_pairs(self._scratch, [key, value], where, self._domains)
            *path, leaf = key.split(".")
            node = functools.reduce(lambda node, part: node[part], path, self._scratch)
            self._values[place] = json.loads(json.dumps(node[leaf]))
            node[leaf] = self.known.defaults[key]
        return self._values[place]

    def pairs(self, pairs: Sequence[str], where: str) -> dict[str, object]:
        return {key: self.value(key, value, where) for key, value in zip(pairs[::2], pairs[1::2], strict=True)}

    def file(self, path: str) -> dict[str, object]:
        """{dotted key: value} of a YAML file, seen from the project's folder."""
        if path not in self._files:
            leaves = read_leaves(ROOT / path)
            self._files[path] = {key: self.value(key, value, path) for key, value in leaves}
        return self._files[path]

    def _resolve(self, a: Arguments, trained: Resolved | None, evaluation: str, where: str) -> Resolved:
        default = values = self.known.defaults | self.known.plugin_values.get(a.trainer, {})
        files = {**self.file(a.dataset_file), **self.file(a.config_file)}
        values |= files
        given = self.pairs(a.opts, where)
        values["TRAINER.NAME"] = a.trainer
        values |= given
        values["DATASET.NAME"] = values["DATASET.NAME"].removesuffix(f"@{OURS}")
        self._take_spelling(values)
        shown = values["DATASET.STAND_IN"] or plain(values["DATASET.NAME"])
        own = self.known.overrides(values["TRAINER.NAME"], values | {"DATASET.NAME": shown})
        values |= {key: self.value(key, value, f"{a.trainer}'s dataset settings") for key, value in own.items()}
        values |= given
        values["DATASET.NAME"] = values["DATASET.NAME"].removesuffix(f"@{OURS}")
        self._take_spelling(values)
        values |= self._taken_over(a, values, default)
        if older := [key for key in OLDER if values[key] != self.known.defaults[key]]:
            raise InputError(f"{older[0]} in {where} is an older spelling; give DATASET.NOISE.TYPE and RATE.")
        check_noise(View(values, self.known.nodes).DATASET.NOISE, files.keys() | given.keys())
        if trained:
            values |= trained.architecture
        left_out = self._unused(values, where)
        found = {
            key: values[key]
            for key in self._keys(values["TRAINER.NAME"], values["DATASET.NAME"])
            if key not in left_out
        }
        found |= {"SEED": SEED, "mode": "test" if a.test or evaluation else "train"}
        if a.model:
            found["model"] = MODEL
        if evaluation:
            found |= {"evaluation": evaluation, "checks": "basic", "check_images": 64}
        architecture = {key: values[key] for key in self.known.architecture.get(values["TRAINER.NAME"], ())}
        return Resolved(json.dumps(found, sort_keys=True), architecture, int(values["OPTIM.MAX_EPOCH"]))

    def _taken_over(self, a: Arguments, values: dict[str, object], default: dict[str, object]) -> dict[str, object]:
        """What the train.py of a plugin's checkout sets for this run."""
        files = self.known.scripts.get(a.trainer)
        if not files:
            return {}
        from interop.plugins.checkout_settings import take_over  # imported here: few suites have plugins

        cfg, before = CfgNode(), CfgNode()
        add_keys(cfg, values)
        add_keys(before, default)
        given = Namespace(
            trainer=a.trainer, dataset_config_file=str(ROOT / a.dataset_file), config_file=str(ROOT / a.config_file),
            opts=list(a.opts), eval_only=a.test,
        )  # fmt: skip
        found = {key: value for taken in take_over(cfg, before, files, given) for key, value in taken.values.items()}
        return json.loads(json.dumps(found))

    def _take_spelling(self, values: dict[str, object]) -> None:
        """As `trainers.sar.take_spelling`: <Host>SAR and TRAINER.SAR.ENABLED on the host are one run."""
        name = values["TRAINER.NAME"]
        if values["TRAINER.SAR.ENABLED"] and "TRAINER.SAR.ENABLED" not in (self.known.own.get(name) or ()):
            if f"{name}SAR" not in self.known.own:
                raise InputError(f"TRAINER.SAR.ENABLED: there is no {name}SAR; docs/sar.md names the hosts of SAR.")
            name = values["TRAINER.NAME"] = f"{name}SAR"
        values["TRAINER.SAR.ENABLED"] = "TRAINER.SAR.ENABLED" in (self.known.own.get(name) or ())

    def _unused(self, values: dict[str, object], where: str) -> set[str]:
        """Keys that do not name a run without an attack, or without another image tower, and those that came later."""
        left_out = set() if values[TOWER[0]] else set(TOWER)
        left_out |= set() if values["DATASET.STAND_IN"] else {"DATASET.STAND_IN"}
        left_out |= {key for key, value in self.known.later.items() if values[key] == value}
        if values["TEST.ADV_SET"]:
            return left_out
        attack = {key for key in values if key.startswith("ATTACK.")}
        if changed := sorted(key for key in attack if values[key] != self.known.defaults[key]):
            raise InputError(f"{changed[0]} in {where} has no effect without an attack; leave it out.")
        return left_out | attack | {"TEST.ADV_SET"}

    @functools.cache  # noqa: B019  a resolver lives as long as the plan that it makes
    def _keys(self, method: str, dataset: str) -> tuple[str, ...]:
        """The keys that identify a run of the method on a dataset (its registered name)."""
        foreign = {*self.known.foreign.get(method, ())} - {*self.known.dataset_keys.get(dataset, ())}
        return tuple(key for key in self.known.defaults if key not in self.known.no_effect and key not in foreign)
