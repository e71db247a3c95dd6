"""`--plugin-cfg`: config keys that another checkout's train.py adds, or a small YAML file.

Of a train.py its function `extend_cfg` is run, with what it needs of that file; the script itself is not.
"""

from __future__ import annotations

import ast
import contextlib
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml
from yacs.config import CfgNode

from dassl.config import add_keys, get_cfg_default
from dassl.utils import InputError

from .loading import location
from .places import place_of
from .scope import scope_of

ADDED: set[str] = set()  # keys that these files alone have brought into a config of this process
METHODS = "TRAINER."


def add_plugin_keys(cfg: CfgNode, files: Iterable[str], for_plugin: bool) -> None:
    """Adds the files' keys with their values as defaults, in place.

    for_plugin: the run's trainer is a plugin, so that in nodes of methods its values win over ours; another key that is
    there already stays as it is.
    """
    for key, value in plugin_keys(files).items():
        known = has_key(cfg, key)
        if known and for_plugin and key.startswith(METHODS):
            *path, leaf = key.split(".")
            functools.reduce(lambda node, part: node[part], path, cfg)[leaf] = value
        elif not known:
            add_keys(cfg, {key: value})
            ADDED.add(key)


def has_key(cfg: CfgNode, key: str) -> bool:
    """Is there a value at this dotted key?"""
    for part in key.split("."):
        if not isinstance(cfg, CfgNode) or part not in cfg:
            return False
        cfg = cfg[part]
    return True


def plugin_keys(files: Iterable[str]) -> dict[str, object]:
    """{dotted key: value} of all files; of two that name the same key, the first. Raises InputError for a file that is
    missing, is neither Python nor YAML, has no `extend_cfg`, or fails in it."""
    found: dict[str, object] = {}
    for file in files:
        path = Path(file).expanduser().resolve()
        if not path.is_file() or path.suffix not in (".py", ".yaml", ".yml"):
            what = "is neither a train.py nor a YAML file" if path.is_file() else "does not exist"
            raise InputError(f"--plugin-cfg {file}: {path} {what}; give the train.py whose extend_cfg adds the keys.")
        read = _of_script if path.suffix == ".py" else _of_yaml
        status = path.stat()
        found = {**read(path, (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)), **found}
    return found


def leaves(tree: Mapping, prefix: str = "") -> dict[str, object]:
    """{dotted key: value} of a tree."""
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
    """As in any config file: 1e-5 is a number, (1, 2) a tuple."""
    with contextlib.suppress(ValueError, SyntaxError):
        return ast.literal_eval(value) if isinstance(value, str) else value
    return value


@functools.lru_cache
def _of_script(path: Path, stamp: tuple[int, ...]) -> dict[str, object]:
    try:
        needed = _needed(ast.parse(path.read_text(encoding="utf-8-sig"), str(path)), "extend_cfg")
        if not needed:
            raise InputError(f"--plugin-cfg {path} has no function extend_cfg; give the train.py that adds the keys.")
        names = {"__name__": "extend_cfg", "__builtins__": scope_of(place_of(path).root).builtins}
        exec(compile(ast.Module(needed, []), str(path), "exec"), names)  # the user's own file, as --plugin is
        before, cfg = leaves(get_cfg_default()), get_cfg_default()
        names["extend_cfg"](cfg)
    except InputError:
        raise
    except Exception as error:
        where, line = location(error) or (path, 0)
        raise InputError(
            f"--plugin-cfg {path}: extend_cfg cannot be used: {where}, line {line}: {type(error).__name__}: {error}."
        ) from error
    return {key: value for key, value in leaves(cfg).items() if key not in before or before[key] != value}


def _needed(tree: ast.Module, name: str) -> list[ast.stmt]:
    """The statements at the top of a file that define `name`, and what these use, in their order."""
    defined: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for each in _defines(statement):
            defined.setdefault(each, []).append(statement)
    wanted, found = [name], []
    seen: set[str] = set()
    while wanted:
        if (each := wanted.pop()) in seen:
            continue
        seen.add(each)
        for statement in defined.get(each, ()):
            found.append(statement)
            wanted += [node.id for node in ast.walk(statement) if isinstance(node, ast.Name)]
    return [statement for statement in tree.body if statement in found]


def _defines(statement: ast.stmt) -> list[str]:
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name.partition(".")[0] for alias in statement.names]
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [node.id for target in targets if target for node in ast.walk(target) if isinstance(node, ast.Name)]
