"""Reads the folder of a finished run: its resolved config, its class names, and the place of its weights."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeGuard

import yaml
from yacs.config import CfgNode

from dassl.config import add_keys
from dassl.config.domains import check_config
from dassl.config.values import merge_pairs
from dassl.config.yaml_file import LOADER
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import InputError, load_checkpoint
from dassl.utils.errors import unreadable
from dassl.utils.torch_file import entry
from interop.plugins.config_keys import leaves
from interop.plugins.names import label_of
from interop.plugins.origin import is_plugin
from language import clean

from .config_domains import domains_of
from .defaults import default_cfg

READ = ("INPUT.", "MODEL.")  # keys that are checked; others may have values of an older version and are not used


class ClassNames(NamedTuple):
    """Class names in label order, with a remark on their origin, or a contradiction between the run's files."""

    names: list[str]
    remark: str = ""
    contradiction: str = ""


def _are_names(found: object) -> TypeGuard[list[str]]:
    return isinstance(found, list) and bool(found) and all(isinstance(name, str) and name.strip() for name in found)


@dataclass
class TrainedRun:
    """A finished run. folder: the --output-dir of a train.py run, which trained, or tested the weights of another."""

    folder: Path
    cfg: CfgNode  # as the run resolved it, not frozen
    settings: dict = field(default_factory=dict)  # the first line of config.yaml, see runs/folder.py

    def classnames(self) -> ClassNames:
        """The classes of the run in label order, from results.json or else a checkpoint; no names if neither has them.

        A run that trained has both; if they differ, the checkpoint's names are returned with the contradiction.
        """
        recorded, why = self._recorded()
        saved, file = self._saved()
        if recorded and saved and sorted(map(clean, recorded)) != sorted(map(clean, saved)):  # older ones: other order
            text = f"{self.folder / 'results.json'} names other classes than the checkpoint {file} was trained on"
            return ClassNames(saved, contradiction=text)
        if recorded or not saved:
            return ClassNames(recorded)
        return ClassNames(saved, remark=f"{why}: its classes are taken from the checkpoint {file}")

    def _recorded(self) -> tuple[list[str], str]:
        """(names in results.json, why there are none)."""
        file = self.folder / "results.json"
        try:
            found = json.loads(file.read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            return [], f"{file} is missing (an interrupted run?)"
        except (OSError, ValueError, RecursionError):
            return [], f"{file} is empty or damaged"
        names = found.get("classnames") if isinstance(found, dict) else None
        return (names, "") if _are_names(names) else ([], f"{file} holds no class names")

    def _saved(self) -> tuple[list[str], Path | None]:
        """(names in the first checkpoint of the folder that has them, that file)."""
        for file in sorted(self.folder.glob("*/model*.tar*")):
            checkpoint = load_checkpoint(str(file))
            for names in (checkpoint.get("classnames"), entry(checkpoint, "run").get("classnames")):
                if _are_names(names):
                    return list(names), file
        return [], None

    def weights(self, models: list[str], epoch: int | None) -> tuple[str, int | None]:
        """(folder, epoch) for `load_model`; epoch None stands for the best on the validation split.

        models: the folders that the trainer saves to. epoch: by default the one that the run itself was tested with,
        or, if it was interrupted, the last that it saved. Raises InputError if the run has no checkpoint.
        """
        if not any(self.folder.glob("*/model*.tar*")) and self.settings.get("model"):
            folder, _, tested = str(self.settings["model"]).rpartition("@")
            return folder, epoch if epoch is not None else int(tested) if tested.isdigit() else None
        if epoch is not None:
            return str(self.folder), epoch
        where = self.folder / models[0]
        best = (where / "model-best.pth.tar").is_file()
        if best and self.cfg.TEST.FINAL_MODEL == "best_val":
            return str(self.folder), None
        found = [re.fullmatch(r"model\.pth\.tar-(\d+)", p.name) for p in where.glob("model.pth.tar-*")]
        epochs = [int(match[1]) for match in found if match]
        if not epochs and not best:
            raise InputError(
                f"{self.folder} holds no trained model (no {models[0]}/model.pth.tar-...); train it first."
            )
        return str(self.folder), max(epochs, default=None)


def read_run(folder: str | Path) -> TrainedRun:
    """Read a run's folder. Raises InputError if it is no run's, or its method is not known (`--plugin`)."""
    file = Path(folder) / "config.yaml"
    if not os.path.isfile(file):
        what = "has no config.yaml" if os.path.isdir(file.parent) else "does not exist"
        raise InputError(f"{folder} {what}; give the --output-dir of a train.py run.")
    try:
        text = file.read_text(encoding="utf-8-sig")
        read = yaml.load(text, LOADER)
        packed = read is None and text.startswith("# settings")
        tree = CfgNode({} if packed else read)
        name = "" if packed else str(tree.TRAINER.NAME)
    except (yaml.YAMLError, OSError, ValueError, TypeError, AttributeError, AssertionError, RecursionError) as error:
        if why := unreadable(error):
            raise InputError(f"{file} cannot be read ({why}); make it readable.") from error
        raise InputError(f"{file} is not the config of a run ({type(error).__name__}); restore it.") from error
    if packed:
        raise InputError(
            f"{folder} was packed (`python -m bench pack`): it has results and settings, and no model; train it again "
            "for what needs one."
        )
    if name not in TRAINER_REGISTRY.registered_names():
        label = f"{label_of(name)}=FILE" if label_of(name) else "FILE"
        raise InputError(f"{file}: the method {name!r} is not known here; give its file with --plugin {label}.")
    cfg = default_cfg()
    values = leaves(tree)
    if is_plugin(TRAINER_REGISTRY.get(name)):
        add_keys(cfg, values)  # also keys that its checkout's train.py added
    # The run may have loaded plugins that this process has not loaded; their keys do not concern the run.
    known = {key: value for key, value in values.items() if not _of_stranger(key, cfg)}
    merge_pairs(cfg, [x for pair in known.items() for x in pair], str(file))
    read = {key: domain for key, domain in domains_of(name).items() if key.startswith(READ)}
    check_config(cfg, read)
    settings = None
    with suppress(ValueError, RecursionError):
        settings = json.loads(text.partition("\n")[0].removeprefix("# settings: "))
    return TrainedRun(Path(folder), cfg, settings if isinstance(settings, dict) else {})


def _of_stranger(key: str, cfg: CfgNode) -> bool:
    part = key.split(".")
    return part[0] == "TRAINER" and len(part) > 2 and part[1] not in cfg.TRAINER
