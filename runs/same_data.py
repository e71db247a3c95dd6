"""Checks that a finished run used the same image lists, class names, images, weights and plugins as this command."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from yacs.config import CfgNode

from clipkit import InputError as BackboneInputError
from clipkit import image_list_key
from dassl.data.datasets import DATASET_REGISTRY, build_dataset
from dassl.data.facts import data_facts, difference, image_paths
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import InputError, MissingFileError, read_json, set_random_seed
from interop.plugins.hosting import hosted, is_hosted
from interop.plugins.origin import provenance

from .folder import RunFolder
from .named_files import check_same_files
from .outputs import fewer_kept
from .tested_model import weights_hash

if TYPE_CHECKING:
    from dassl.protocols import Trainer

MOST = 60_000  # longest list whose images are all compared; of longer lists the sample in `data_facts` is compared


def finished_already(folder: RunFolder, cfg: CfgNode, args: Namespace) -> str:
    """The message for a run that is finished already. Raises InputError if it used other data, another version of a
    plugin, other weights than --model-dir has now, or other files than its settings name now."""
    check_same_weights(folder.results, args)
    check_same_files(folder.results, read_json(folder.results), folder.settings)
    check_same_plugins(folder.results, cfg)
    unknown = check_same_data(folder.results, cfg)
    fewer = fewer_kept(read_json(folder.results), cfg.TEST.OUTPUTS)
    note = "".join(f"; {each}" for each in (unknown, fewer) if each)
    return f"Finished already, nothing to do: {folder.results} (remove the folder to run it again){note}"


def check_same_weights(results: Path, args: Namespace) -> None:
    """Raises InputError if the tested model was trained again since. Weights that are missing now are not compared."""
    then, now = read_json(results).get("model_sha256"), weights_hash(args.model_dir, args.load_epoch)
    if args.eval_only and then and now and then != now:
        raise InputError(
            f"{results.parent} holds a test of other weights than {args.model_dir} has now, where a model was trained "
            "anew since; remove the folder to test again, or give another --output-dir."
        )


def check_same_plugins(results: Path, cfg: CfgNode) -> None:
    """Raises InputError if the plugin file of the run's trainer or dataset was edited since."""
    then = read_json(results).get("plugins") or {}
    kinds = {"trainer": TRAINER_REGISTRY.get(cfg.TRAINER.NAME), "dataset": DATASET_REGISTRY.get(cfg.DATASET.NAME)}
    for what, kind in kinds.items():
        now = provenance(kind) or {}
        if then.get(what, {}).get("sha256", now.get("sha256")) != now.get("sha256"):
            raise InputError(
                f"{results.parent} holds a finished run of another version of its {what} ({now.get('from')} was edited "
                "since); remove the folder to run it again, or give another --output-dir."
            )


def data_record(trainer: Trainer) -> dict:
    """The entry of results.json on a trainer's data: facts on the lists, and "contents", hashes of all images."""
    if hasattr(trainer, "data_met"):
        return {**trainer.data_met(), "contents": contents(trainer.lists_met)}
    data = trainer.dm.dataset
    return {**data_facts(data), "contents": contents(image_paths(data))}


def contents(lists: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """{part: hash of the contents of its images}, without lists that are empty, very long, or not of files.

    A file that was hashed before, here or by the feature bank, costs only a `stat`.
    """
    found = {}
    for part, paths in lists.items():
        if 0 < len(paths) <= MOST and os.path.isfile(paths[0]):
            try:
                found[part] = image_list_key(paths)
            except BackboneInputError:
                continue  # images that are not read from files
    return found


def check_same_data(results: Path, cfg: CfgNode) -> str:
    """Raises InputError if image lists, class names or images under DATASET.ROOT differ from those of the finished run.

    results: the run's results.json. Returns "", or a sentence if the data cannot be compared. Data that was only moved
    is the same. The cost is that of reading the lists, and a `stat` for each image.
    """
    record, cfg = read_json(results), cfg.clone()
    if not os.path.isdir(os.path.expanduser(str(cfg.DATASET.ROOT)) or "."):
        return f"its data could not be compared: there is no folder {cfg.DATASET.ROOT} (DATASET.ROOT) now"
    cfg.defrost()
    cfg.VERBOSE = False
    then = record.get("data") or record.get("items") or {}
    if cfg.TEST.get("ADV_SET", ""):  # the test images are those of the set, which the settings identify
        cfg.TEST.ADV_SET = ""
        then = _only(then, ("train", "val", "classes"))
    if "CORRUPTION" in cfg.TEST:  # made from the clean images, which are compared
        cfg.TEST.CORRUPTION.NAME = ""
    if cfg.SEED < 0 or is_hosted(cfg):  # shots are drawn again at each start, or a plugin may make its own lists
        then = _only(then, ("test", "classes"))
    if cfg.SEED >= 0:
        set_random_seed(cfg.SEED)
    try:
        with hosted(cfg, quiet=True):
            data = build_dataset(cfg)
    except MissingFileError as error:
        return f"its data could not be compared: {error}"
    lists = {part: paths for part, paths in image_paths(data).items() if part in (then.get("contents") or ())}
    if wrong := difference(then, data_facts(data) | {"contents": contents(lists)}):
        raise InputError(
            f"{results.parent} holds a finished run on other data than what DATASET.ROOT {cfg.DATASET.ROOT} leads to "
            f"now: {wrong}; give another --output-dir, remove the folder to run it again, or bring back the data of "
            "then."
        )
    return ""


def _only(facts: Mapping, parts: Collection[str]) -> dict:
    """The facts restricted to these parts (lists, or "classes")."""
    kept = {part: facts[part] for part in parts if part in facts}
    return kept | {"contents": {part: x for part, x in (facts.get("contents") or {}).items() if part in parts}}
