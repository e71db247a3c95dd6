"""Computes the settings of a run of train.py from its arguments without torch, equal to those of `runs.settings`.

`runs.resolve` resolves the config, as for train.py; the data on methods that it needs come from the cache of `known`.
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
from dassl.config.domains import Domain
from dassl.config.values import check_known, pairs_of, read_value
from dassl.config.yaml_file import read_leaves
from dassl.utils import InputError
from interop.plugins.names import OURS, plain
from runs.resolve import resolve
from runs.rules.facts import Taken
from runs.rules.noise import OLDER
from runs.rules.noise import RULE as OLDER_KEYS
from runs.rules.sar import ENABLED
from runs.silent_keys import identifying

from .known import ROOT, Known

SEED, MODEL = "\x01seed\x01", "\x01model\x01"  # placeholders for the seed and the model of a run
_SEED, _MODEL = json.dumps(SEED), json.dumps(MODEL)


@dataclass(frozen=True)
class Arguments:
    """The arguments of train.py, as written by `runs.arguments`, without folders and seed."""

    trainer: str
    dataset_file: str
    config_file: str
    opts: tuple[str, ...]
    test: bool  # --eval-only
    model: bool  # --model-dir is given

    @classmethod
    def of(cls, argv: Sequence[str]) -> tuple[Arguments, int, str]:
        """(arguments, seed, output folder) from a list of train.py's arguments."""
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
    """The settings of runs that differ in seed and folders alone.

    text: the settings as sorted JSON, with placeholders for seed and model. architecture: those that are stored in the
    checkpoint. epochs: OPTIM.MAX_EPOCH.
    """

    text: str
    architecture: Mapping[str, object]
    epochs: int

    def hash(self, seed: int, model: str = MODEL) -> str:
        """The `settings_hash` of the run. model: the tested FOLDER@EPOCH; by default the placeholder is hashed."""
        text = self.text.replace(_SEED, str(seed)).replace(_MODEL, json.dumps(model))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Resolver:
    """Computes the settings of arguments, and caches them."""

    def __init__(self, known: Known) -> None:
        self.known = known
        # Methods of plugins may read keys of ours in their own way; which method a value is for is known later.
        self._domains = {
            key: domain
            for key, domain in known.domains("").items()
            if not known.from_plugins or not (key.startswith("TRAINER.") or key in OPEN or key == "TASK")
        }
        self._files: dict[str, list[tuple[str, object]]] = {}
        self._resolved: dict[tuple, Resolved] = {}

    def resolve(
        self, arguments: Arguments, trained: Resolved | None = None, evaluation: str = "", where: str = "the run"
    ) -> Resolved:
        """The settings of a run.

        trained: the training run whose weights are tested, from which the architecture is taken. evaluation: the mode
        of an evaluation under attack. where: the place for errors. Raises InputError for wrong keys and values.
        """
        key = (arguments, id(trained), evaluation)  # the id is unique, since `trained` lives as long as this resolver
        if key not in self._resolved:
            self._resolved[key] = self._resolve(arguments, trained, evaluation, where)
        return self._resolved[key]

    def value(self, key: str, value: object, where: str) -> object:
        """The value converted to the type of the key. Raises InputError for unknown keys and wrong types."""
        check_known(self.known.defaults, key, where)
        return read_value(key, value, self.known.defaults[key], where, self._domains.get(key))

    def file(self, path: str) -> list[tuple[str, object]]:
        """[(dotted key, value)] of a YAML file, read once; its path is relative to the project's folder."""
        if path not in self._files:
            self._files[path] = read_leaves(ROOT / path)
        return self._files[path]

    def pairs(self, pairs: Sequence[str], where: str) -> dict[str, object]:
        return {key: self.value(key, value, where) for key, value in pairs_of(pairs, where)}

    def _resolve(self, a: Arguments, trained: Resolved | None, evaluation: str, where: str) -> Resolved:
        args = Namespace(
            trainer=a.trainer, dataset_config_file=a.dataset_file, config_file=a.config_file, opts=list(a.opts),
            eval_only=a.test or bool(evaluation), model_dir=MODEL if a.model else "", no_train=False, seed=-1,
            plugin=(), plugin_cfg=(),
        )  # fmt: skip
        config = resolve(args, PlanFacts(self, a.trainer, trained), where)
        if older := [key for key in OLDER if config.origin.get(key) == OLDER_KEYS.origin]:
            raise InputError(f"{older[0]} in {where} is an older spelling; give DATASET.NOISE.TYPE and RATE.")
        method, dataset = str(config["TRAINER.NAME"]), str(config["DATASET.NAME"])
        found = identifying(config, self._foreign(method, dataset))
        found |= {"SEED": SEED, "mode": "test" if args.eval_only else "train"}
        if a.model:
            found["model"] = MODEL
        if evaluation:
            found |= {"evaluation": evaluation, "checks": "basic", "check_images": 64}
        architecture = {key: config[key] for key in self.known.architecture.get(method, ())}
        return Resolved(json.dumps(found, sort_keys=True), architecture, int(config["OPTIM.MAX_EPOCH"]))

    @functools.cache  # noqa: B019  a resolver lives as long as the plan that it makes
    def _foreign(self, method: str, dataset: str) -> frozenset[str]:
        """The keys that do not concern a run of the method on a dataset (its registered name)."""
        return frozenset(self.known.foreign.get(method, ())) - {*self.known.dataset_keys.get(dataset, ())}


class PlanFacts:
    """`runs.rules.facts.Facts` for a run of a method (its registered name), from the cache.

    trained: the training run whose weights are tested.
    """

    def __init__(self, resolver: Resolver, method: str, trained: Resolved | None) -> None:
        self.known, self.leaves, self._trained = (known := resolver.known), resolver.file, trained
        self.defaults = known.defaults | {"TRAINER.NAME": method}
        self.brought = {key: (value, "") for key, value in known.plugin_values.get(method, {}).items()}
        self._scripts = known.scripts.get(method, ())
        self.datasets, self.noise_aliases, self.noise_swaps = known.datasets, known.noise_aliases, known.swaps

    def names(self, config: Mapping[str, object]) -> Mapping[str, str]:
        return {key: str(config[key]).removesuffix(f"@{OURS}") for key in ("TRAINER.NAME", "DATASET.NAME")}

    def domains(self, method: str) -> Mapping[str, Domain]:
        return self.known.domains(method)

    def is_hosted(self, method: str) -> bool:
        return method in self.known.from_plugins

    def has_sar(self, method: str) -> bool | None:
        return ENABLED in (self.known.own[method] or ()) if method in self.known.own else None

    def with_sar(self, method: str) -> str:
        if f"{method}SAR" not in self.known.own:
            raise InputError(f"{ENABLED}: there is no {method}SAR; docs/sar.md names the hosts of SAR.")
        return f"{method}SAR"

    def table(self, config: Mapping[str, object]) -> Mapping[str, object]:
        shown = config["DATASET.STAND_IN"] or plain(str(config["DATASET.NAME"]))
        return self.known.overrides(str(config["TRAINER.NAME"]), {**config, "DATASET.NAME": shown})

    def checkout(self, config: Mapping[str, object], args: Namespace) -> Sequence[Taken]:
        if not self._scripts:
            return ()
        from interop.plugins.checkout_settings import take_over  # imported here: it brings torch in

        files = {name: str(ROOT / getattr(args, name)) for name in ("dataset_config_file", "config_file")}
        before = self.defaults | {key: value for key, (value, _) in self.brought.items()}
        return take_over(_tree(config), _tree(before), self._scripts, Namespace(**{**vars(args), **files}))

    def checkpoint(self, config: Mapping[str, object], args: Namespace) -> Mapping[str, object]:
        return self._trained.architecture if self._trained else {}

    def check(self, config: Mapping[str, object], args: Namespace) -> None:
        """Checks nothing, since a plan makes the options of its runs itself."""


def _tree(config: Mapping[str, object]) -> CfgNode:
    add_keys(cfg := CfgNode(), config)
    return cfg
