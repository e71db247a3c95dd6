"""Has a finished run met what this command means: the same data under another --root, the same trained weights?"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from yacs.config import CfgNode

from dassl.data.datasets import build_dataset
from dassl.data.facts import data_facts, difference
from dassl.utils import InputError, MissingFileError, read_json, set_random_seed
from plugins.hosting import is_hosted

from .folder import RunFolder
from .tested_model import weights_hash


def finished_already(folder: RunFolder, cfg: CfgNode, args: Namespace) -> str:
    """What to say of a finished run. Raises InputError where it is one on other data than `cfg` means, or a test of
    other weights than those that are in --model-dir now."""
    check_same_weights(folder.results, args)
    unknown = check_same_data(folder.results, cfg) if folder.moved() else ""
    note = f"; {unknown}" if unknown else ""
    return f"Finished already, nothing to do: {folder.results} (remove the folder to run it again){note}"


def check_same_weights(results: Path, args: Namespace) -> None:
    """Raises InputError where the model was trained anew since its test. Weights that are gone are not compared."""
    then, now = read_json(results).get("model_sha256"), weights_hash(args.model_dir, args.load_epoch)
    if args.eval_only and then and now and then != now:
        raise InputError(
            f"{results.parent} holds a test of other weights than {args.model_dir} has now, where a model was trained "
            "anew since; remove the folder to test again, or give another --output-dir."
        )


def check_same_data(results: Path, cfg: CfgNode) -> str:
    """Raises InputError where the lists of images, the class names or the pictures under DATASET.ROOT are others than
    those of the finished run whose results.json this is. Returns what is to be said where nothing can be compared, "".

    Data that was moved is the same data.
    """
    record, cfg = read_json(results), cfg.clone()
    cfg.defrost()
    cfg.VERBOSE = False
    then = record.get("data") or record.get("items") or {}
    if cfg.TEST.get("ADV_SET", ""):  # its pictures and rows are those of the set, which the settings name
        cfg.TEST.ADV_SET = ""
        then = {key: then[key] for key in ("train", "val", "classes") if key in then}
    if cfg.SEED < 0 or is_hosted(cfg):  # few shots drawn anew at each start; a plugin may have made its own lists
        then = {key: then[key] for key in ("test", "classes") if key in then}
    if cfg.SEED >= 0:
        set_random_seed(cfg.SEED)
    try:
        wrong = difference(then, data_facts(build_dataset(cfg)))
    except MissingFileError as error:
        return f"its data could not be compared: {error}"
    if wrong:
        raise InputError(
            f"{results.parent} holds a finished run on other data than what DATASET.ROOT {cfg.DATASET.ROOT} leads to "
            f"now: {wrong}; give another --output-dir, or the --root of then."
        )
    return ""
