"""`python -m trainers new`: creates a method in this project, with trainer, configs, scripts and a test, to edit.

With `--from HOST` the method is a subclass of the host with one more term in its loss, and has the host's configs.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import keyword
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from dassl.config import get_cfg_default
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import InputError, atomic_path
from runs.config_names import CONFIG_FOLDER, PUBLISHED, UNTRAINED
from trainers.base import PromptTrainer

from .rewrite import ROOT

PATTERN = Path(__file__).resolve().parent / "pattern"
NO_HOSTS = {  # methods whose loss cannot be added to from outside
    "LPpp": "it answers for the classes of its training alone",
    "ProMetaR": "its step takes gradients of its terms one by one",
    "VisPrompt": "its loss goes through the classes in parts, and gives logits without a gradient",
}
COOPS = {"vit_b16": "CoOp/vit_b16_ctxv1.yaml", "embedded": "CoOp/embedded.yaml"}  # new config: file that is copied


def add_command(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = commands.add_parser("new", help="start a method: trainer, configs, scripts, test", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="the method's name, which its class gets (MyMethod)")
    parser.add_argument(
        "--from", dest="host", metavar="HOST", default="", help="a method to build on: CoOp, MaPLe, MMRL"
    )
    return parser


def run(args: argparse.Namespace) -> str:
    """Write the files of the new method and return a report to print."""
    check_name(args.name)
    files = method_files(args.name, args.host)
    write_all(files)
    name, test = args.name.lower(), next(path for path in files if path.startswith("tests/"))
    listed = "\n".join(f"    {path}" for path in files if not path.startswith("scripts/"))
    return (
        f"{listed}\n    scripts/{name}/*.sh ({sum(path.startswith('scripts/') for path in files)})\n\n"
        f"Its test:    python -m pytest -n0 {test}\n"
        f"A first run: bash scripts/{name}/base2new_train.sh digits 1\n"
        f"Then edit {'the line YOUR LOSS of ' if args.host else ''}trainers/{name}.py, and what the names of its "
        "tests say; docs/add_a_method.md says what a method may define."
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


def method_files(name: str, host: str = "") -> dict[str, str | Path]:
    """{path below the project: text of the file, or target of a symbolic link}.

    Configs are CoOp's with the names changed; with a host those of the host, whose config node the method keeps.
    Scripts are CoOp's unchanged, since they find the method by their path. Raises InputError for a host that cannot be
    one, and if the scripts of this checkout are not symbolic links.
    """
    module, node = name.lower(), name.upper()
    words = {"NAME": name, "NODE": node} | (host_words(host) if host else {})
    files: dict[str, str | Path] = {
        f"trainers/{module}.py": filled("derived.py.txt" if host else "trainer.py.txt", words)
    }
    for config, file in (host_configs(words["HOST"]) if host else COOPS).items():
        text = (ROOT / "configs" / "trainers" / file).read_text(encoding="utf-8")
        files[f"configs/trainers/{name}/{config}.yaml"] = text if host else text.replace("  COOP:", f"  {node}:")
    for script in sorted((ROOT / "scripts" / "coop").glob("*.sh")):
        content = script.readlink() if script.is_symlink() else script.read_text(encoding="utf-8")
        if content == "../run.sh":
            raise InputError("This checkout has no symbolic links; call bash scripts/links.sh once, then this again.")
        files[f"scripts/{module}/{script.name}"] = content
    return files | {f"tests/trainers/test_{module}.py": filled("derived_test.py.txt" if host else "test.py.txt", words)}


def filled(file: str, words: Mapping[str, str]) -> str:
    """A pattern's text with the words in the places @WORD@."""
    text = (PATTERN / file).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


def hosts() -> dict[str, type]:
    """The methods of this project that can be built on, by name: trained ones with a loss, none made on a host."""
    names = [name for name in TRAINER_REGISTRY.registered_names() if name not in UNTRAINED]
    methods = [(name, TRAINER_REGISTRY.get(name)) for name in names]
    return {
        name: method
        for name, method in methods
        if isinstance(method, type)
        and issubclass(method, PromptTrainer)
        and method.loss is not PromptTrainer.loss
        and not hasattr(method, "host")
        and name not in NO_HOSTS
        and re.fullmatch(r"trainers\.\w+", method.__module__)
    }


def host_words(host: str) -> dict[str, str]:
    """The words of the patterns for a host, whose name may be in any case. Raises InputError for another name."""
    known = hosts()
    if why := next((text for each, text in NO_HOSTS.items() if each.casefold() == host.casefold()), ""):
        raise InputError(
            f"--from {host}: a term cannot be added to its loss from outside ({why}); choose another host."
        )
    name = next((each for each in known if each.casefold() == host.casefold()), "")
    if not name:
        near = difflib.get_close_matches(host, known, n=3, cutoff=0)
        others = sorted(known.keys() - {*near}, key=str.casefold)
        raise InputError(
            f"--from {host}: no method of that name can be built on; those that can, nearest first: "
            f"{', '.join(near + others)}."
        )
    more = len(inspect.signature(known[name].loss).parameters) > 3  # beyond self, image, label
    return {
        "HOST": name, "MODULE": known[name].__module__.rpartition(".")[2],
        "MORE": ", *more" if more else "", "MORE_TYPES": ", *more: Tensor" if more else "",
    }  # fmt: skip


def host_configs(host: str) -> dict[str, str]:
    """{name of a new config: the host's file that is copied}: its published one for base-to-new, and `embedded`.

    Raises InputError if the host lacks one.
    """
    folder, published = CONFIG_FOLDER.get(host, host), PUBLISHED[host].base2new if host in PUBLISHED else ""
    vit = "vit_b16" if published.startswith(("rn", "vit_b32")) else published or "vit_b16"
    found = {"vit_b16": f"{folder}/{vit}.yaml", "embedded": f"{folder}/embedded.yaml"}
    for file in found.values():
        if not (ROOT / "configs" / "trainers" / file).is_file():
            raise InputError(f"--from {host}: there is no configs/trainers/{file} to copy; choose another host.")
    return found


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
