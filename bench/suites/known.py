"""Config keys, defaults and methods as plain data in the cache, so that suites can be planned without torch.

Importing the methods takes seconds. The data that a plan needs (keys, defaults, a method's own settings for a dataset)
depend on the code alone, so they are cached in $ROBUSTPROMPT_CACHE under a hash of that code.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dassl.config.domains import Domain
from dassl.utils import write_json
from interop.plugins.entry_points import stamp
from interop.plugins.names import take_label

ROOT = Path(__file__).resolve().parents[2]
# The files that the data depend on.
SOURCES = (
    "runs/defaults.py", "runs/settings.py", "runs/config_domains.py", "bench/suites/known.py",
    "bench/suites/methods.py", "attacks/settings.py", "language/features.py",
    "dassl/config/*.py", "datasets/**/*.py", "interop/plugins/*.py", "trainers/**/*.py",
)  # fmt: skip


class View:
    """Stands for the config in a call of `dataset_overrides(cfg)`. `_reads`: {dotted key: value} of the values read."""

    def __init__(
        self, values: Mapping[str, object], nodes: frozenset[str], prefix: str = "", reads: dict | None = None
    ) -> None:
        self._values, self._nodes, self._prefix = values, nodes, prefix
        self._reads: dict[str, object] = {} if reads is None else reads

    def __getattr__(self, name: str) -> object:
        key = self._prefix + name
        if key in self._values:
            self._reads[key] = self._values[key]
            return self._values[key]
        if key in self._nodes:
            return View(self._values, self._nodes, f"{key}.", self._reads)
        raise AttributeError(key)

    __getitem__ = __getattr__

    def __contains__(self, name: str) -> bool:
        return self._prefix + name in self._values or self._prefix + name in self._nodes

    def get(self, name: str, default: object = None) -> object:
        return getattr(self, name, default)


class Known:
    """The data on config keys and methods.

    defaults: {dotted key: default}. own: {method: the keys that it declares; None for a plain Dassl trainer}.
    architecture: {method: keys that a test takes from the checkpoint}. variants: {name: [method, config pairs]}, such
    as PTNL-GCE. crops: methods that share features of training crops whatever their config says. stacks: methods whose
    runs can share a pass through the text tower. datasets, noise_types, swaps, attacks: names. noise_aliases: {the
    field's name of a noise type: ours}.

    plugins: files. from_plugins: methods of these and of installed packages. foreign: {method: keys of plugins that do
    not concern its runs}. dataset_keys: {dataset of a plugin: the keys that it declares}. plugin_values: {method of a
    plugin: config values of --plugin-cfg}; scripts: {method of a plugin: its train.py}. doubles: names of this project
    that plugins have too. broken: [sentence, classes that the broken plugin should define].
    """

    def __init__(self, data: dict, file: Path) -> None:
        self._data, self._file, self._new = data, file, False
        self.defaults: dict[str, object] = data["defaults"]
        self._domains = {
            method: {key: Domain.from_data(each) for key, each in domains.items()}
            for method, domains in data["domains"].items()
        }
        self.datasets, self.noise_aliases = data["datasets"], data["noise_aliases"]
        self.own: dict[str, list[str] | None] = data["own"]
        self.architecture: dict[str, list[str]] = data["architecture"]
        self.variants: dict[str, tuple[str, list[str]]] = data["variants"]
        self.noise_types, self.swaps, self.attacks = data["noise_types"], data["swaps"], data["attacks"]
        self.crops, self.stacks = frozenset(data["crops"]), frozenset(data["stacks"])
        self.plugins: list[str] = data["plugins"]
        self.from_plugins = frozenset(data["from_plugins"])
        self.foreign: dict[str, list[str]] = data["foreign"]
        self.dataset_keys: dict[str, list[str]] = data["dataset_keys"]
        self.plugin_values: dict[str, dict[str, object]] = data["plugin_values"]
        self.scripts: dict[str, list[str]] = data["scripts"]
        self.doubles: tuple[str, ...] = tuple(data["doubles"])
        self.broken: list[tuple[str, list[str]]] = data["broken"]
        self.nodes = frozenset(
            key[:i] for key in self.defaults for i, letter in enumerate(key) if letter == "."
        )  # for A.B.C these are A and A.B

    def domains(self, method: str) -> dict[str, Domain]:
        """{dotted key: its valid values} in a run of the method; "" stands for all methods of this project."""
        return self._domains.get(method, self._domains[""])

    def overrides(self, method: str, values: Mapping[str, object]) -> dict[str, object]:
        """The method's own settings for a config with these values.

        `dataset_overrides` of the method is called once for each set of values that it reads; answers are cached.
        """
        if method not in self.own or self.own[method] is None:
            return {}
        cases = self._data["overrides"].setdefault(method, [])
        for keys, answers in cases:
            if (answer := answers.get(json.dumps([values.get(key) for key in keys]))) is not None:
                return answer
        view = View(values, self.nodes)
        answer = json.loads(json.dumps(_trainer(method, self.plugins).dataset_overrides(view)))
        reads = view._reads
        if not reads.get("DATASET.NOISE.MANIFEST"):  # with one, the answer may depend on that file's content
            keys = list(reads)
            if not (fitting := next((answers for known, answers in cases if known == keys), None)):
                cases.append([keys, fitting := {}])
            fitting[json.dumps(list(reads.values()))] = answer
            self._new = True
        return answer

    def save(self) -> None:
        """Write new answers to the cache, if it can be written."""
        if self._new:
            with suppress(OSError):
                write_json(self._data, self._file)
            self._new = False


def _trainer(method: str, plugins: Sequence[str]):
    import trainers  # noqa: F401  registers the methods
    from dassl.engine import TRAINER_REGISTRY
    from interop.plugins.loading import load_plugins

    load_plugins(plugins)
    return TRAINER_REGISTRY.get(method)


def source_hash(plugins: Sequence[str] = (), plugin_cfg: Sequence[str] = ()) -> str:
    """A hash (16 hex digits) of the code that the data depend on: this project's, plugins', installed packages."""
    found = hashlib.sha256()
    for pattern in SOURCES:
        for file in sorted(ROOT.glob(pattern)):
            found.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    files = [Path(take_label(plugin)[1]) for plugin in plugins]
    theirs = {file for plugin in files for file in plugin.parent.glob("*.py")} | set(map(Path, plugin_cfg))
    for file in sorted(file for file in theirs if file.is_file()):
        found.update(f"{file}\n".encode() + file.read_bytes())
    found.update(json.dumps([stamp(), *plugins, *plugin_cfg]).encode())
    return found.hexdigest()[:16]


def known(plugins: Sequence[str] = (), plugin_cfg: Sequence[str] = ()) -> Known:
    """The data from the cache, or else collected (which imports torch). plugins, plugin_cfg: files, as for train.py.

    Raises InputError for files that do not exist, and for files of plugin_cfg that cannot be used.
    """
    folder = Path(os.environ.get("ROBUSTPROMPT_CACHE") or "~/.cache/robustprompt").expanduser()
    file = folder / "config_keys" / f"{source_hash(plugins, plugin_cfg)}.json"
    return _known(file, tuple(plugins), tuple(plugin_cfg))


@functools.lru_cache(maxsize=1)
def _known(file: Path, plugins: tuple[str, ...], plugin_cfg: tuple[str, ...]) -> Known:
    with suppress(OSError, ValueError, KeyError, TypeError):
        return Known(json.loads(file.read_text(encoding="utf-8-sig")), file)
    found = Known(_ask(plugins, plugin_cfg), file)
    if not found.broken:  # with broken plugins the data are not complete
        found._new = True
        found.save()
    return found


def _ask(plugins: Sequence[str], plugin_cfg: Sequence[str]) -> dict:
    from attacks.settings import NAMES
    from dassl.data.datasets import DATASET_REGISTRY
    from dassl.engine import TRAINER_REGISTRY
    from datasets.noise.config import ALIASES, SWAPS, TYPES
    from interop.plugins.config_keys import add_plugin_keys, files_for, leaves, plugin_keys
    from interop.plugins.loading import load_plugins
    from interop.plugins.names import plain
    from interop.plugins.origin import brought_by, is_plugin, root_of
    from runs.config_domains import domains_of
    from runs.defaults import default_cfg
    from runs.settings import foreign_keys
    from trainers.shared.crop_features import says_so
    from trainers.shared.joint_text import stacks

    from .methods import named_variants

    broken = load_plugins(plugins)
    cfg = default_cfg()
    add_plugin_keys(cfg, plugin_cfg)
    methods, datasets = (
        {name: registry.get(name) for name in registry.registered_names()}
        for registry in (TRAINER_REGISTRY, DATASET_REGISTRY)
    )
    from_plugins = [name for name, method in methods.items() if brought_by(method, plugins)]
    methods = {n: m for n, m in methods.items() if m.__module__.startswith("trainers.") or n in from_plugins}
    own = {name: getattr(method, "config_defaults", None) for name, method in methods.items()}
    foreign, theirs = {}, {}
    for name in methods:
        cfg.TRAINER.NAME = name
        theirs[name] = files_for(plugin_cfg, root_of(methods[name]), plugins) if is_plugin(methods[name]) else []
        foreign[name] = sorted(foreign_keys(cfg, theirs[name]))
    cfg.TRAINER.NAME = ""
    labelled = {plain(name) for name in (*methods, *datasets) if plain(name) != name}
    doubles = [
        name
        for kinds in (methods, datasets)
        for name, kind in kinds.items()
        if name in labelled and not is_plugin(kind)
    ]
    found = {
        "defaults": leaves(cfg),
        "domains": {
            name: {key: domain.to_data() for key, domain in domains_of(name or "CoOp").items()}
            for name in ("", *from_plugins)
        },
        "datasets": list(datasets),
        "noise_aliases": ALIASES,
        "own": {name: None if keys is None else list(keys) for name, keys in own.items()},
        "architecture": {name: list(getattr(method, "architecture", ())) for name, method in methods.items()},
        "crops": [
            name
            for name, method in methods.items()
            if getattr(method, "frozen_image_encoder", None) is True and says_so(method)
        ],
        "stacks": [name for name, method in methods.items() if not is_plugin(method) and stacks(method)],
        "variants": named_variants(),
        "noise_types": list(TYPES),
        "swaps": list(SWAPS),
        "attacks": list(NAMES),
        "overrides": {},
        "plugins": list(plugins),
        "from_plugins": from_plugins,
        "foreign": foreign,
        "dataset_keys": {
            name: list(getattr(dataset, "config_defaults", {}))
            for name, dataset in datasets.items()
            if is_plugin(dataset)
        },
        "plugin_values": {
            name: {k: v for k, v in plugin_keys(files).items() if k in leaves(cfg)} for name, files in theirs.items()
        },
        "scripts": {name: files for name, files in theirs.items() if files},
        "doubles": doubles,
        "broken": [[each.sentence, list(each.classes())] for each in broken],
    }
    return json.loads(json.dumps(found))
