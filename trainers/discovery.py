"""Finding trainers: every module of this package, and files from outside given with `--plugin`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

from yacs.config import CfgNode

from clipkit import InputError
from dassl.config import add_keys
from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import Registry


def discover() -> list[str]:
    """Imports every module beside this one, which registers its trainers. Returns the module names."""
    package = __name__.rpartition(".")[0]
    names = [m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)]) if not m.name.startswith("_")]
    for name in names:
        importlib.import_module(f"{package}.{name}")
    return names


def load_plugin(path: str) -> ModuleType:
    """Imports a trainer file from outside the tree; loading the same file twice is harmless.

    Raises InputError when the file is missing, is not Python, or cannot be imported.
    """
    file = Path(path).expanduser().resolve()
    if not file.is_file() or file.suffix != ".py":
        raise InputError(f"--plugin {path}: there is no Python file at {file}; give the path of a trainer file.")
    name = f"plugin_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.append(str(file.parent))  # a plugin may import its neighbours; ours come first
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InputError(
            f"--plugin {path}: importing it failed with {type(error).__name__}: {error}; mend the file."
        ) from error
    return module


def add_defaults(cfg: CfgNode, registry: Registry) -> None:
    """Adds the config keys that a registry's classes declare in `config_defaults` ({dotted key: default}).

    Two classes may declare the same key (CoOp's node serves several methods); the first default stays.
    """
    for name in registry.registered_names():
        add_keys(cfg, getattr(registry.get(name), "config_defaults", {}))


def add_trainer_defaults(cfg: CfgNode) -> None:
    """Adds the config keys of the registered trainers."""
    add_defaults(cfg, TRAINER_REGISTRY)


def add_dataset_defaults(cfg: CfgNode) -> None:
    """Adds the config keys of the registered datasets (`DATASET.FOLDER.PATH` and the like)."""
    add_defaults(cfg, DATASET_REGISTRY)


def dataset_overrides(cfg: CfgNode) -> list:
    """The trainer's settings for this dataset, as a flat [key, value, ...] list; empty for a plain Dassl trainer."""
    if cfg.TRAINER.NAME not in TRAINER_REGISTRY.registered_names():
        return []
    settings = getattr(TRAINER_REGISTRY.get(cfg.TRAINER.NAME), "dataset_overrides", lambda cfg: {})(cfg)
    return [x for pair in settings.items() for x in pair]
