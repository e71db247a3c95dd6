"""Collects the files of an export: methods with all modules that they import, their configs and language files."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path

from dassl.engine import TRAINER_REGISTRY
from dassl.utils import InputError, check_availability
from runs.config_names import CONFIG_FOLDER

from .rewrite import PACKAGE, ROOT, place, rewrite, source_file

ENTRANCE = "interop.export.exported.entrance"
METHODS_MODULE = "interop.export.exported.methods"
# Packages that are exported in part, or that import everything in them: their exported __init__.py is empty.
EMPTY = ("trainers", "datasets", "dassl", "interop", "interop.export")
# module: the folder of `language` whose files are exported if a method imports this module
LANGUAGE = {"language": "descriptions", "language.source": "descriptions", "language.novel": "novel_classes"}
INIT = '''"""Methods of RobustPrompt in a checkout of CoOp or MaPLe, on upstream Dassl: {methods}.

Two lines of train.py let it in: `import robustprompt`, and `robustprompt.extend_cfg(cfg)` as the last line of its
extend_cfg(cfg). Written by `python -m trainers export`; edit the originals and export again.
Licences: LICENSE, and clip/LICENSE for OpenAI's code and prompt templates.
"""

from .entrance import extend_cfg

__all__ = ["extend_cfg"]
'''


@dataclass
class Export:
    """The files of an export. files: {path below the checkout: content}. others: packages that must be installed."""

    methods: list[str]
    files: dict[str, bytes] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)

    def add(self, module: str, text: str, is_package: bool) -> None:
        """Adds the text of a module at its place in the exported package."""
        path = Path(PACKAGE, *place(module).split("."))
        self.files[(path / "__init__.py" if is_package else path.with_suffix(".py")).as_posix()] = text.encode()


def collect(methods: list[str]) -> Export:
    """The files of an export of `methods`. Raises InputError for a method that `trainers/` does not have."""
    modules = {}
    for name in methods:
        check_availability(name, TRAINER_REGISTRY.registered_names(), "method")
        modules[name] = TRAINER_REGISTRY.get(name).__module__
        if not modules[name].startswith("trainers."):
            raise InputError(f"{name} is not a method of this tree (it comes from {modules[name]}); copy its file.")
    export = Export(methods)
    sources = _closure(export, {ENTRANCE, *modules.values()})
    home = {name: f"{PACKAGE}.{place(module)}" for name, module in modules.items()}
    lines = "".join(f'    "{name}": "{module}",\n' for name, module in home.items())
    text = f'"""The exported methods, and the modules that they are in."""\n\nMETHODS = {{\n{lines}}}\n'
    export.add(METHODS_MODULE, text, is_package=False)
    export.files[f"{PACKAGE}/__init__.py"] = INIT.format(methods=", ".join(methods)).encode()
    export.files[f"{PACKAGE}/LICENSE"] = (ROOT / "LICENSE").read_bytes()
    _add_language(export, sources)
    _add_configs(export, methods)
    return export


def _closure(export: Export, start: set[str]) -> dict[str, set[str]]:
    """Add the modules `start` and all modules of this project that they import. Returns {module: its imports}."""
    imports: dict[str, set[str]] = {}
    waiting = sorted(start)
    while waiting:
        module = waiting.pop()
        if module in imports:
            continue
        package = module.rpartition(".")[0]
        if module.partition(".")[0] == "clip":
            imports[module] = set()
            _add_clip(export)
            continue
        file = source_file(module)
        is_package = file.name == "__init__.py"
        if is_package and module.partition(".")[0] in EMPTY:
            imports[module] = set()
            if module.partition(".")[0] != "interop":
                export.add(module, f'"""The modules of {module} that exported methods need."""\n', is_package=True)
        else:
            done = rewrite(module, file.read_text(encoding="utf-8"), file)
            header = f"# Exported from RobustPrompt: {file.relative_to(ROOT).as_posix()}\n"
            export.add(module, header + done.text, is_package)
            export.others |= done.others
            imports[module] = done.needs
        waiting += [*imports[module], *([package] if package else [])]
    return imports


def _add_clip(export: Export) -> None:
    """Add the installed package `clip`, OpenAI's code, since the checkout's own `clip` may be edited."""
    folder = Path(importlib.import_module("clip").__file__).parent
    for file in sorted(folder.iterdir()):
        if file.is_file():
            content = file.read_bytes()
            # setuptools no longer has pkg_resources
            content = content.replace(b"from pkg_resources import packaging\n", b"import packaging.version\n")
            export.files[f"{PACKAGE}/clip/{file.name}"] = content
    export.files[f"{PACKAGE}/clip/LICENSE"] = (ROOT / "LICENSES" / "OpenAI-CLIP.txt").read_bytes()
    export.others |= {"ftfy", "regex", "packaging"}


def _add_language(export: Export, imports: dict[str, set[str]]) -> None:
    """Add class descriptions and novel class names if a module outside `language` imports their readers."""
    wanted = {needed for module, needs in imports.items() if not module.startswith("language") for needed in needs}
    for folder in sorted({LANGUAGE[module] for module in wanted if module in LANGUAGE}):
        for file in sorted((ROOT / "language" / folder).glob("*.json")):
            export.files[f"{PACKAGE}/language/{folder}/{file.name}"] = file.read_bytes()


def _add_configs(export: Export, methods: list[str]) -> None:
    """Add all YAML files of the methods except those for the embedded CLIP, which is not exported."""
    for folder in sorted({CONFIG_FOLDER.get(name, name) for name in methods}):
        for file in sorted((ROOT / "configs" / "trainers" / folder).glob("*.yaml")):
            if file.stem != "embedded":
                export.files[f"configs/trainers/{folder}/{file.name}"] = file.read_bytes()
