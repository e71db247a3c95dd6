"""What a resolution has to know of the methods, datasets and plugins. Without torch: see the two that know it.

`runs/registered.py` asks the registries of this process; `bench/suites/resolved.py` has the same answers as plain data
in a cache, so that thousands of runs are resolved without torch.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from dassl.config.domains import Domain


class Taken(Protocol):
    """What a checkout's train.py sets for this run; see `interop.plugins.checkout_settings`."""

    @property
    def file(self) -> Path: ...

    @property
    def values(self) -> Mapping[str, object]: ...


class Facts(Protocol):
    """defaults: of every key. brought: {key: (default, file)} of --plugin-cfg, which go before `defaults`. datasets:
    registered names. noise_aliases, noise_swaps: see `datasets.noise.config`."""

    defaults: Mapping[str, object]
    brought: Mapping[str, tuple[object, str]]
    datasets: Collection[str]
    noise_aliases: Mapping[str, str]
    noise_swaps: Sequence[str]

    def leaves(self, file: str) -> list[tuple[str, object]]:
        """Of a YAML file, as `dassl.config.yaml_file.read_leaves`. Raises InputError for one that cannot be read."""

    def names(self, config: Mapping[str, object]) -> Mapping[str, str]:
        """{key: registered name} for the keys that name a class. Raises InputError where one may mean two."""

    def domains(self, method: str) -> Mapping[str, Domain]:
        """{key: what it may hold} in a run of the method."""

    def is_hosted(self, method: str) -> bool:
        """Is it a plugin's?"""

    def has_sar(self, method: str) -> bool | None:
        """Does the method have similarity alignment? None for an unknown one."""

    def with_sar(self, method: str) -> str:
        """The registered name of the method with it. Raises InputError where it cannot be."""

    def table(self, config: Mapping[str, object]) -> Mapping[str, object]:
        """The method's own settings for the dataset of `config`."""

    def checkout(self, config: Mapping[str, object], args: Namespace) -> Sequence[Taken]:
        """What the train.py of a plugin's checkout makes of this run."""

    def checkpoint(self, config: Mapping[str, object], args: Namespace) -> Mapping[str, object]:
        """The settings that travel in the checkpoint that is tested; none for another run.

        Raises InputError where the command line contradicts them."""

    def check(self, config: Mapping[str, object], args: Namespace) -> None:
        """Raises InputError for options that cannot have been meant."""
