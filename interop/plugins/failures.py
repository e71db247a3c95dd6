"""Turns an error from a plugin's code into one sentence with file and line, and with a remedy if one is known."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from yacs.config import CfgNode

from dassl.config.shown import data_name, for_method, trainer_name
from dassl.utils import InputError

from .places import place_of
from .scope import SCOPES

# import name: name of the package on PyPI, where they differ
DISTRIBUTIONS = {
    "ot": "POT", "cv2": "opencv-python", "sklearn": "scikit-learn", "skimage": "scikit-image", "PIL": "pillow",
    "yaml": "PyYAML", "umap": "umap-learn", "faiss": "faiss-cpu", "open_clip": "open_clip_torch", "attr": "attrs",
    "bs4": "beautifulsoup4", "git": "GitPython", "dateutil": "python-dateutil", "hydra": "hydra-core",
    "absl": "absl-py", "mpl_toolkits": "matplotlib", "google": "protobuf", "Levenshtein": "python-Levenshtein",
    "pytorch_lightning": "pytorch-lightning", "sentence_transformers": "sentence-transformers",
    "torch_geometric": "torch-geometric", "torch_scatter": "torch-scatter", "pytorch_metric_learning":
    "pytorch-metric-learning", "Crypto": "pycryptodome", "IPython": "ipython",
    "pkg_resources": "setuptools<81", "ruamel": "ruamel.yaml", "imblearn": "imbalanced-learn",
    "dotenv": "python-dotenv",
}  # fmt: skip
NO_PACKAGE = {"trainers", "datasets", "dassl", "clip", "utils", "configs", "models", "scripts", "lib", "tools", "src"}


class PluginFailed(InputError):
    """An error of a plugin's code with no known remedy; the traceback is in the run's log.txt."""


def location(error: BaseException) -> tuple[Path, int] | None:
    """(file, line) of the innermost frame of plugins' code in an error's traceback; None if there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return Path(error.filename), error.lineno or 0
    theirs = {id(scope.builtins) for scope in SCOPES.values()}
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if id(frame.f_globals.get("__builtins__")) in theirs:
            return Path(frame.f_code.co_filename), line
    return None


def pip_line(error: BaseException) -> str:
    """A hint to install the package of a failed import; "" for any other error, and for a checkout's own modules."""
    name = getattr(error, "name", None)
    if not isinstance(error, ModuleNotFoundError) or not name:
        return ""
    top = name.partition(".")[0]
    if top in NO_PACKAGE or top in SCOPES:
        return ""
    return f"; `pip install {DISTRIBUTIONS.get(top, top.replace('_', '-'))}` brings it, if it is a package"


@contextmanager
def told_kindly(cfg: CfgNode | None = None, log: Path | None = None) -> Iterator[None]:
    """Raise errors of plugins' code as InputErrors. cfg: the run's config. log: a file to append the traceback to."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        found = location(error)
        if found is None:
            raise
        sentence = _foreseen(error, found, cfg) if cfg is not None else ""
        if sentence:
            raise InputError(sentence) from error
        where = ""
        if log is not None and log.parent.is_dir():
            with suppress(OSError), log.open("a", encoding="utf-8") as file:
                file.write("".join(traceback.format_exception(error)))
                where = f" (the traceback is in {log})"
        raise PluginFailed(f"{found[0]}, line {found[1]}: {said(error)}{pip_line(error)}{where}.") from error


@contextmanager
def unknown_key_hint(plugins: Iterable[str], given: Iterable[str]) -> Iterator[None]:
    """Around the merging of YAML files and pairs: adds a hint on --plugin-cfg to the error about an unknown key.

    plugins, given: the files of --plugin and --plugin-cfg.
    """
    try:
        yield
    except InputError as error:
        text = str(error)
        if not plugins or not text.startswith("Unknown config key"):
            raise
        scripts = [place_of(plugin).root / "train.py" for plugin in plugins]
        ways = [str(file) for file in scripts if file.is_file() and str(file) not in map(_resolved, given)]
        key = text.removeprefix("Unknown config key ").partition(" ")[0]
        way = f"--plugin-cfg {ways[0]}, whose extend_cfg may add it, or " if ways else ""
        raise InputError(
            f"{text.rstrip('.')}; if it is a key of the plugin's checkout, give {way}--plugin-cfg with a YAML file "
            f"that has {key} and its default."
        ) from error


def _resolved(file: str) -> str:
    return str(Path(file).expanduser().resolve())


def said(error: BaseException) -> str:
    """The type and first line of an error, without a full stop."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}".rstrip(". ") if lines else type(error).__name__


def _foreseen(error: Exception, found: tuple[Path, int], cfg: CfgNode) -> str:
    """The sentence for an error with a known remedy, else "".

    Known are a missing config key, a refused config, a missing checkpoint, and a table without the dataset or class.
    """
    last = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)][-1]
    where, name = f"{found[0]}, line {found[1]}", trainer_name(cfg)
    if isinstance(error, (AttributeError, KeyError)) and Path(last.co_filename).parts[-2:] == ("yacs", "config.py"):
        return (
            f"{where}: {name} reads a config key {error} that does not exist; give the keys of its checkout with "
            "--plugin-cfg train.py, or a YAML file that has them."
        )
    if isinstance(error, AssertionError) and last.co_name == "check_cfg":
        line = Path(found[0]).read_text(encoding="utf-8").splitlines()[found[1] - 1].strip()
        return f"{where}: {name} refuses this config: {str(error) or line}."
    if isinstance(error, FileNotFoundError) and last.co_name == "load_model":
        return f"{where}: {error}; correct --model-dir or --load-epoch."
    if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str):
        return _not_in_table(error, where, name, cfg)
    return ""


def _not_in_table(error: KeyError, where: str, name: str, cfg: CfgNode) -> str:
    key = error.args[0]
    shown = for_method(cfg).DATASET.NAME
    if key.casefold() in (shown.casefold(), data_name(cfg).casefold()):
        return (
            f"{where}: a table of {name} has no entry for the dataset {key}; give DATASET.STAND_IN with the name of a "
            "dataset that it has, such as Caltech101: its tables are then read as for that one, and images and classes "
            f"stay those of {data_name(cfg)}."
        )
    if key.replace("_", " ").casefold() in {each.replace("_", " ").casefold() for each in _classnames(error)}:
        return (
            f"{where}: a table of {name} has no entry for the class {key!r}; it is written for the classes of the "
            "datasets that it was published with. Take one of these, or put a copy of the file that it reads, with an "
            "entry for each class, under the same path in the working folder, which goes before the checkout."
        )
    return ""


def _classnames(error: BaseException) -> list[str]:
    """The class names of the trainer in whose code the error was raised."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        owner = frame.f_locals.get("self")
        names = getattr(getattr(getattr(owner, "dm", None), "dataset", None), "classnames", None)
        if isinstance(names, list):
            return names
    return []
