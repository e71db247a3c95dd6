"""Takes over the config values that a checkout's train.py sets: runs its setup_cfg and compares the result with ours.

Checkouts set values by dataset or task after their config files are read (a representation's size on EuroSAT, fewer
epochs on ImageNet). A run of such a checkout's trainer uses these values, set in the order of the checkout's own code;
as there, they may override the command line. Values that cannot be taken over are reported.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from yacs.config import CfgNode

from dassl.config.shown import OWN, plain
from dassl.config.values import merge_pairs
from dassl.utils import InputError

from . import main_slice, train_py
from .config_keys import NO_OPTIONS, at, fits, has_key, leaves, told
from .train_py import TrainPy

# Keys of the run and not of the method: a checkout's train.py cannot change them.
OURS = {"OUTPUT_DIR", "RESUME", "SEED", "USE_CUDA", "VERBOSE", "DATASET.ROOT", "DATASET.NAME", "TRAINER.NAME"}
# Errors that may come from the sandbox, because the functions do not run within their own script.
NOT_HERE = (ImportError, NameError, AttributeError, TypeError, RuntimeError)


@dataclass
class Taken:
    """The values taken over from one train.py.

    values: {dotted key: value} that it sets for this run. left: sentences about what is not taken over. options: its
    own command-line options, which keep their defaults. unheard: sentences about pairs of the command line that it
    overrides.
    """

    file: Path
    values: dict[str, object] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    options: dict[str, object] = field(default_factory=dict)
    unheard: list[str] = field(default_factory=list)

    def record(self) -> dict:
        """The entry in results.json, as plain values."""
        found = {"file": str(self.file), "set": self.values, "not_taken_over": [*self.left, *self.unheard]}
        return json.loads(json.dumps(found | {"options": self.options}, default=str))

    def lines(self) -> list[str]:
        """The lines for the log."""
        found = [f"{self.file} sets {key} to {value!r} for this run" for key, value in self.values.items()]
        found += [f"{self.file}: its option --{k} stays {v!r}, its default" for k, v in self.options.items()]
        return found + [f"Warning: {self.file}: {text}" for text in (*self.unheard, *self.left)]


def take_over(cfg: CfgNode, default: CfgNode, files: Iterable[str], given: Namespace) -> list[Taken]:
    """The values that the train.py among `files` sets for this run.

    cfg: the run's config with files and options merged. default: the config before that. given: the run's options.
    Raises InputError, with file and line, for an error in that train.py.
    """
    found: list[Taken] = []
    for path in (Path(file).expanduser().resolve() for file in files):
        if path.suffix != ".py":
            continue
        if found:
            found.append(Taken(path, left=["its keys and defaults are taken over alone: one train.py sets up a run"]))
            continue
        found.append(_taken(cfg, default, train_py.read(path, train_py.stamp_of(path)), given))
    return found


def _taken(cfg: CfgNode, default: CfgNode, script: TrainPy, given: Namespace) -> Taken:
    options = NO_OPTIONS | {key: value for key, value in vars(given).items() if key in NO_OPTIONS}
    args = script.namespace(Namespace(**{**options, "trainer": plain(cfg.TRAINER.NAME), "opts": list(given.opts)}))
    taken = Taken(script.path, options=script.only_its_own(Namespace(**NO_OPTIONS)))
    theirs = Setup(default)
    theirs.__dict__["about"] = _names_for(cfg), script.path.parent
    try:
        made = _set_up(script, theirs, args)
    except InputError:
        raise
    except NOT_HERE as error:
        taken.left += [f"setup_cfg cannot be run here ({told(script.path, error)})", *main_slice.assignments(script)]
        return taken
    except Exception as error:
        raise InputError(
            f"--plugin-cfg {script.path}: setup_cfg cannot be used for this run: {told(script.path, error)}"
            f"{_way_out(error, cfg)}."
        ) from error
    made, left = main_slice.run(script, made, args)
    taken.left += left
    _compare(taken, cfg, made, default, given)
    return taken


def _set_up(script: TrainPy, default: CfgNode, args: Namespace) -> CfgNode:
    """The config that the script's setup_cfg makes; without one, CoOp's order: extend_cfg, files, reset_cfg, pairs."""
    if "setup_cfg" in script.functions:
        made = script.call("setup_cfg", default, args)
    elif "setup_cfg" in script.failed:
        raise script.failed["setup_cfg"]
    else:
        made = default.clone()
        if "extend_cfg" in script.functions:
            returned = script.call("extend_cfg", default, made, args)
            made = returned if isinstance(returned, CfgNode) else made
        for file in (args.dataset_config_file, args.config_file):
            if file:
                made.merge_from_file(file)
        if "reset_cfg" in script.functions:
            script.call("reset_cfg", default, made, args)
        made.merge_from_list(args.opts)
    if not isinstance(made, CfgNode):
        raise TypeError(f"setup_cfg returns a {type(made).__name__}, not a config")
    made = made.clone()
    made.defrost()
    return made


def _compare(taken: Taken, cfg: CfgNode, made: CfgNode, default: CfgNode, given: Namespace) -> None:
    pairs = dict(zip(given.opts[::2], given.opts[1::2], strict=False))
    for key, value in leaves(made).items():
        known = has_key(cfg, key)
        here = at(cfg, key) if known else None
        if key.rpartition(".")[2] == OWN or (known and _same(here, value)):
            continue
        if key in OURS:
            if value not in (plain(here) if isinstance(here, str) else here, at(default, key)):
                taken.left.append(f"it would set {key} to {value!r}, which is {here!r} here")
        elif isinstance(here, CfgNode) or not fits(cfg, key) or not _is_plain(value):
            taken.left.append(f"it would set {key} to {value!r}, which has no place in the config here")
        else:
            taken.values[key] = value
            if key in pairs:
                taken.unheard.append(f"{key} {pairs[key]} of the command line has no effect: it sets {value!r} later")


def _same(one: object, other: object) -> bool:
    return _plainly(one) == _plainly(other) and isinstance(one, bool) == isinstance(other, bool)


def _plainly(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _is_plain(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _names_for(cfg: CfgNode) -> tuple[str, str]:
    return plain(cfg.TRAINER.NAME), cfg.DATASET.get("STAND_IN", "") or plain(cfg.DATASET.NAME)


def _way_out(error: Exception, cfg: CfgNode) -> str:
    _, dataset = _names_for(cfg)
    if isinstance(error, KeyError) and dataset in map(str, error.args):
        return f"; it has no settings for {dataset}: give DATASET.STAND_IN with the name of a dataset that it knows"
    return ""


class Setup(CfgNode):
    """The config that a checkout's setup_cfg works on. Keys that the checkout does not know are skipped, and trainer
    and dataset have the checkout's names. `about` is ((trainer, dataset), the checkout's folder)."""

    about: tuple[tuple[str, str], Path]

    def merge_from_file(self, cfg_filename: str) -> None:
        file = Path(cfg_filename)
        if not file.is_absolute() and not file.is_file():
            file = self.__dict__["about"][1] / file
        tree = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        self._take([x for pair in leaves(tree).items() for x in pair], str(file))

    def merge_from_list(self, cfg_list: Iterable) -> None:
        self._take(list(cfg_list), "the command line")

    def _take(self, pairs: list, where: str) -> None:
        known = [x for key, value in zip(pairs[::2], pairs[1::2], strict=False) if has_key(self, key)
                 for x in (key, value)]  # fmt: skip
        view = _View(self)
        merge_pairs(view, known, where)
        for key, value in view.items():
            dict.__setitem__(self, key, value)
        self.TRAINER.NAME, self.DATASET.NAME = self.__dict__["about"][0]


class _View(CfgNode):
    """The same config with the merge functions of yacs."""

    def __init__(self, tree: Mapping) -> None:
        super().__init__()
        dict.update(self, tree)
