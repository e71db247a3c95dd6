"""The facts on methods, datasets and plugins that the resolution of a config needs, as a Protocol without torch.

`runs/registered.py` takes them from the registries of this process. `bench/suites/resolved.py` has them as plain data
in a cache, so that thousands of runs are resolved without torch.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from dassl.config.domains import Domain


class Taken(Protocol):
    """The values that a checkout's train.py sets for this run; see `interop.plugins.checkout_settings`."""

    @property
    def file(self) -> Path: ...

    @property
    def values(self) -> Mapping[str, object]: ...

    def lines(self) -> list[str]:
        """The lines for the log."""


class Facts(Protocol):
    """The facts. defaults: {key: default} of every key. brought: {key: (default, file)} of --plugin-cfg, which override
    `defaults`. datasets: registered names. noise_aliases, noise_swaps: see `datasets.noise.config`."""

    @property
    def defaults(self) -> Mapping[str, object]: ...
    @property
    def brought(self) -> Mapping[str, tuple[object, str]]: ...
    @property
    def datasets(self) -> Collection[str]: ...
    @property
    def noise_aliases(self) -> Mapping[str, str]: ...
    @property
    def noise_swaps(self) -> Sequence[str]: ...

    def leaves(self, file: str) -> list[tuple[str, object]]:
        """[(dotted key, value)] of a YAML file, as `dassl.config.yaml_file.read_leaves`. Raises InputError if it cannot
        be read."""

    def names(self, config: Mapping[str, object]) -> Mapping[str, str]:
        """{key: registered name} for the keys that name a class. Raises InputError if a name may mean two classes."""

    def domains(self, method: str) -> Mapping[str, Domain]:
        """{key: its valid values} in a run of the method."""

    def is_hosted(self, method: str) -> bool:
        """Whether the method is a plugin's."""

    def has_sar(self, method: str) -> bool | None:
        """Whether the method has similarity alignment (SAR); None for an unknown method."""

    def with_sar(self, method: str) -> str:
        """The registered name of the method with SAR. Raises InputError if SAR is not possible on the method."""

    def table(self, config: Mapping[str, object]) -> Mapping[str, object]:
        """The method's own settings for the dataset of `config`."""

    def checkout(self, config: Mapping[str, object], args: Namespace) -> Sequence[Taken]:
        """The values that the train.py of a plugin's checkout sets for this run."""

    def checkpoint(self, config: Mapping[str, object], args: Namespace) -> Mapping[str, object]:
        """The settings stored in the tested checkpoint; none for a training run.

        Raises InputError if the command line contradicts them."""

    def check(self, config: Mapping[str, object], args: Namespace) -> None:
        """Raises InputError for options that must be errors, such as --model-dir in a training run."""
