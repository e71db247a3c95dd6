"""`python -m trainers new`: creates a method in this project, with trainer, configs, scripts and a test, to edit."""

from __future__ import annotations

import argparse
import keyword
import re
from contextlib import suppress
from pathlib import Path

from dassl.config import get_cfg_default
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import InputError, atomic_path

from .rewrite import ROOT

PATTERN = Path(__file__).resolve().parent / "pattern"
CONFIGS = {"vit_b16": "vit_b16_ctxv1", "embedded": "embedded"}  # new config: CoOp's config that is copied


def add_command(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = commands.add_parser("new", help="start a method: trainer, configs, scripts, test", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="the method's name, which its class gets (MyMethod)")
    return parser


def run(args: argparse.Namespace) -> str:
    """Write the files of the new method and return a report to print."""
    check_name(args.name)
    files = method_files(args.name)
    write_all(files)
    name, test = args.name.lower(), next(path for path in files if path.startswith("tests/"))
    listed = "\n".join(f"    {path}" for path in files if not path.startswith("scripts/"))
    return (
        f"{listed}\n    scripts/{name}/*.sh ({sum(path.startswith('scripts/') for path in files)})\n\n"
        f"Its test:    python -m pytest -n0 {test}\n"
        f"A first run: bash scripts/{name}/base2new_train.sh digits 1\n"
        f"Then edit trainers/{name}.py; docs/add_a_method.md says what a method may define."
    )


def check_name(name: str) -> None:
    """Raises InputError unless `name` is valid and no class, module, config node or folder of that name exists."""
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]{1,31}", name) or keyword.iskeyword(name):
        raise InputError(
            f"{name!r} cannot be a method's name: take a capital, then letters and digits, 32 at most (MyMethod)."
        )
    for other in TRAINER_REGISTRY.registered_names():
        if other.casefold() == name.casefold():
            raise InputError(f"There is a method called {other} already; choose another name than {name}.")
    nodes = {key.split(".")[1] for m in map(TRAINER_REGISTRY.get, TRAINER_REGISTRY.registered_names())
             for key in getattr(m, "config_defaults", {}) if key.startswith("TRAINER.")}  # fmt: skip
    if name.upper() in {node.upper() for node in (*nodes, *get_cfg_default().TRAINER)}:
        raise InputError(f"The config node TRAINER.{name.upper()} is taken; choose another name than {name}.")
    module = name.lower()
    places = [ROOT / "trainers" / f"{module}.py", ROOT / "trainers" / module, ROOT / "configs" / "trainers" / name]
    places += [ROOT / "scripts" / module, *(ROOT / "tests").rglob(f"test_{module}.py")]
    for place in places:
        if place.exists():
            raise InputError(f"{place.relative_to(ROOT)} is there already; choose another name than {name}.")


def method_files(name: str) -> dict[str, str | Path]:
    """{path below the project: text of the file, or target of a symbolic link}.

    Configs are CoOp's with the names changed. Scripts are CoOp's unchanged, since they find the method by their path.
    Raises InputError if the scripts of this checkout are not symbolic links.
    """
    module, node = name.lower(), name.upper()

    def pattern(file: str) -> str:
        return (PATTERN / file).read_text(encoding="utf-8").replace("@NAME@", name).replace("@NODE@", node)

    files: dict[str, str | Path] = {f"trainers/{module}.py": pattern("trainer.py.txt")}
    for config, coops in CONFIGS.items():
        text = (ROOT / "configs" / "trainers" / "CoOp" / f"{coops}.yaml").read_text(encoding="utf-8")
        files[f"configs/trainers/{name}/{config}.yaml"] = text.replace("  COOP:", f"  {node}:")
    for script in sorted((ROOT / "scripts" / "coop").glob("*.sh")):
        content = script.readlink() if script.is_symlink() else script.read_text(encoding="utf-8")
        if content == "../run.sh":
            raise InputError("This checkout has no symbolic links; call bash scripts/links.sh once, then this again.")
        files[f"scripts/{module}/{script.name}"] = content
    return files | {f"tests/trainers/test_{module}.py": pattern("test.py.txt")}


def write_all(files: dict[str, str | Path]) -> None:
    """Write all files. If one cannot be written, remove those that were and raise InputError."""
    done: list[Path] = []
    try:
        for path, content in files.items():
            file = ROOT / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                file.symlink_to(content)
            else:
                with atomic_path(file) as temporary:
                    Path(temporary).write_text(content, encoding="utf-8")
                    Path(temporary).chmod(0o755 if file.suffix == ".sh" else 0o644)
            done.append(file)
    except OSError as error:
        for file in done:
            file.unlink()
            with suppress(OSError):
                file.parent.rmdir()  # a folder made for it; one that holds other files stays
        raise InputError(f"{error.filename or ROOT} cannot be written: {error.strerror}.") from error
