"""`--plugin-cfg`: adds the config keys and defaults of a checkout's train.py, or of a small YAML file.

Only the functions extend_cfg, reset_cfg and setup_cfg of a train.py are run (train_py.py), not the script itself.
checkout_settings.py takes over the values that its setup_cfg sets for a run.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import functools
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml
from yacs.config import CfgNode

from dassl.config import add_keys, get_cfg_default
from dassl.utils import InputError

from . import train_py
from .failures import location, pip_line, said
from .places import place_of

ADDED: set[str] = set()  # keys that exist only because such a file added them, in this process


def add_plugin_keys(cfg: CfgNode, files: Iterable[str], own: Iterable[str] = ()) -> None:
    """Add the files' keys to `cfg` in place, with their values as defaults, which YAML files and pairs override.

    own: those of the files that belong to the run's trainer, a plugin. Their values also replace defaults of this
    project; a key of the other files that exists already is not changed.
    """
    for key, value in plugin_keys(own).items():
        if has_key(cfg, key) and not isinstance(at(cfg, key), CfgNode):
            put(cfg, key, copy.deepcopy(value))
    for key, value in plugin_keys([*own, *(file for file in files if file not in own)]).items():
        if not has_key(cfg, key) and fits(cfg, key):
            add_keys(cfg, {key: copy.deepcopy(value)})
            ADDED.add(key)


def put(cfg: CfgNode, key: str, value: object) -> None:
    """Sets the value at a dotted key, in place."""
    *path, leaf = key.split(".")
    functools.reduce(lambda node, part: node[part], path, cfg)[leaf] = value


def at(cfg: CfgNode, key: str) -> object:
    """The value at a dotted key, which must exist."""
    return functools.reduce(lambda node, part: node[part], key.split("."), cfg)


def fits(cfg: CfgNode, key: str) -> bool:
    """Whether the key can be added: none of its parts is a value already."""
    node = cfg
    for part in key.split(".")[:-1]:
        if part in node and not isinstance(node[part], CfgNode):
            return False
        node = node.get(part, CfgNode())
    return True


def files_for(files: Iterable[str], root: Path | None, plugins: Iterable[str]) -> list[str]:
    """The --plugin-cfg files for a plugin of the checkout at `root` (None: of an installed package): all except those
    in the checkout of another of these plugins."""
    others = [place_of(plugin).root for plugin in plugins]
    return [file for file in files if not (owners := _owners(file, [*others, root])) or root in owners]


def _owners(file: str, roots: Iterable[Path | None]) -> set[Path]:
    """The checkouts that the file belongs to: its folder is the checkout, or lies above or below it."""
    folder = Path(file).expanduser().resolve().parent
    return {root for root in roots if root and (root == folder or root in folder.parents or folder in root.parents)}


def has_key(cfg: CfgNode, key: str) -> bool:
    """Whether the config has this dotted key."""
    for part in key.split("."):
        if not isinstance(cfg, CfgNode) or part not in cfg:
            return False
        cfg = cfg[part]
    return True


def plugin_keys(files: Iterable[str]) -> dict[str, object]:
    """{dotted key: value} of all files; if two have the same key, that of the first. Raises InputError for a file that
    is missing, is neither Python nor YAML, has no `extend_cfg`, or raises in it."""
    found: dict[str, object] = {}
    for file in files:
        path = Path(file).expanduser().resolve()
        if not path.is_file() or path.suffix not in (".py", ".yaml", ".yml"):
            what = "is neither a train.py nor a YAML file" if path.is_file() else "does not exist"
            raise InputError(f"--plugin-cfg {file}: {path} {what}; give the train.py whose extend_cfg adds the keys.")
        read = _of_script if path.suffix == ".py" else _of_yaml
        found = {**read(path, train_py.stamp_of(path)), **found}
    return found


def leaves(tree: Mapping, prefix: str = "") -> dict[str, object]:
    """{dotted key: value} of nested mappings."""
    found: dict[str, object] = {}
    for name, value in tree.items():
        found |= leaves(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


@functools.lru_cache
def _of_yaml(path: Path, stamp: tuple[int, ...]) -> dict[str, object]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8-sig")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"--plugin-cfg {path} is not valid YAML: {str(error).splitlines()[0]}.") from error
    if not isinstance(tree, dict):
        raise InputError(f"--plugin-cfg {path} must hold KEY: VALUE lines, but holds a {type(tree).__name__}.")
    return {key: _read(value) for key, value in leaves(tree).items()}


def _read(value: object) -> object:
    """Evaluate a string as yacs does: 1e-5 is a number, (1, 2) a tuple."""
    with contextlib.suppress(ValueError, SyntaxError):
        return ast.literal_eval(value) if isinstance(value, str) else value
    return value


@functools.lru_cache
def _of_script(path: Path, stamp: tuple[int, ...]) -> dict[str, object]:
    default = get_cfg_default()
    before, cfg = leaves(default), default.clone()
    try:
        script = train_py.read(path, stamp)
        if "extend_cfg" not in script.functions:
            raise InputError(f"--plugin-cfg {path} has no function extend_cfg; give the train.py that adds the keys.")
        args = script.namespace(Namespace(**NO_OPTIONS))
        returned = script.call("extend_cfg", default, cfg, args)
        cfg = returned if isinstance(returned, CfgNode) else cfg
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"--plugin-cfg {path}: extend_cfg cannot be used: {told(path, error)}.") from error
    found = {key: value for key, value in leaves(cfg).items() if key not in before or before[key] != value}
    for key, value in _made_later(script, cfg, args).items():
        found.setdefault(key, value)
    return found


# The command-line options of a train.py of the field, with their usual defaults.
NO_OPTIONS = {
    "root": "", "output_dir": "", "resume": "", "seed": -1, "source_domains": None, "target_domains": None,
    "transforms": None, "config_file": "", "dataset_config_file": "", "trainer": "", "backbone": "", "head": "",
    "eval_only": False, "model_dir": "", "load_epoch": None, "no_train": False, "opts": [],
}  # fmt: skip


def _made_later(script: train_py.TrainPy, cfg: CfgNode, args: Namespace) -> dict[str, object]:
    """Keys that reset_cfg or setup_cfg adds. YAML files and command line can only set keys that exist."""
    known = leaves(cfg)
    for name, given in (("reset_cfg", (cfg.clone(), args)), ("setup_cfg", (args,))):
        with contextlib.suppress(Exception):  # may fail without a run's options; checkout_settings.py reports errors
            returned = script.call(name, get_cfg_default(), *given)
            made = returned if isinstance(returned, CfgNode) else given[0]
            known = {**leaves(made), **known} if isinstance(made, CfgNode) else known
    return {key: value for key, value in known.items() if not has_key(cfg, key)}


def told(path: Path, error: Exception) -> str:
    """The file, line and text of an error in a train.py, without a full stop."""
    where, line = location(error) or (path, 0)
    return f"{where}, line {line}: {said(error)}{pip_line(error)}"
