"""Resolves the config of a run from all its sources, and notes the origin of each value.

If two sources set a key, the later one wins. The order is that of the lines of `resolve`, with one exception: the
method's settings for its dataset do not override the KEY VALUE pairs, which are merged before since they may name
method and dataset. This module does not import torch, so that plans use it too.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Collection, Iterable, Mapping, Sequence

from dassl.config.domains import Domain, check_value
from dassl.config.values import COMMAND_LINE, NO_DOMAINS, check_known, pairs_of, read_value
from interop.plugins.failures import unknown_key_hint

from .flags import check_flags, check_training, named_options, named_trainer
from .noise_check import check_noise
from .rules import IMAGES, LEFT_OUT, NOISE, REMOVED, WHICH_RUN, Rule
from .rules.facts import Facts, Taken
from .rules.noise import older_keys

DEFAULT = "default"


class Config(dict[str, object]):
    """{dotted key: value} of a run. `origin`: {key: source of its value}; a key that is not in it has its default."""

    def __init__(self, defaults: Mapping[str, object]) -> None:
        super().__init__(defaults)
        self.origin: dict[str, str] = {}
        self.taken: Sequence[Taken] = ()  # values that the train.py of a plugin's checkout sets

    def take(self, changes: Mapping[str, object], origin: str) -> None:
        """Set these values with this origin; a key whose value is REMOVED is removed."""
        for key, value in changes.items():
            if value is REMOVED:
                self.pop(key, None)
            else:
                self[key] = value
            self.origin[key] = origin

    def merge(
        self, pairs: Iterable[tuple[str, object]], where: str, domains: Mapping[str, Domain] = NO_DOMAINS,
        origin: str = "", keep: Collection[str] = (),
    ) -> None:  # fmt: skip
        """Set values of a file or a command line, converted to the types of their keys.

        where: the source, for errors. keep: keys whose values are checked but not set. Raises InputError for an unknown
        key, a wrong type, and a value outside the key's domain.
        """
        for key, given in pairs:
            check_known(self, key, where)
            value = read_value(key, given, self[key], where, domains.get(key))
            if key not in keep:
                self.take({key: value}, origin or where)

    def apply(self, rules: Iterable[Rule], facts: Facts) -> None:
        """Apply the rules one after another. Values that a rule does not change keep their origin."""
        for rule in rules:
            found = rule.changes(self, facts)
            new = {key: value for key, value in found.items() if value is REMOVED or self.get(key) != value}
            self.take(new, rule.origin)


def resolve(args: Namespace, facts: Facts, where: str = COMMAND_LINE) -> Config:
    """The config of the run that train.py's options `args` describe.

    where: the source of the KEY VALUE pairs, for errors. Raises InputError, one sentence, for wrong options or files.
    """
    config = Config(facts.defaults)
    for key, (value, file) in facts.brought.items():
        config.take({key: value}, f"--plugin-cfg {file}")
    check_flags(config, args)
    domains = facts.domains(named_trainer(args, str(config["TRAINER.NAME"])))
    given = set(args.opts[::2])
    with unknown_key_hint(args.plugin, args.plugin_cfg):
        for file in filter(None, (args.dataset_config_file, args.config_file)):
            leaves = facts.leaves(file)
            config.merge(leaves, file, domains)
            given.update(key for key, _ in leaves)
        for flag, key, value in named_options(args):
            config.merge([(key, value)], COMMAND_LINE, domains, f"command line, {flag}")
        config.merge(pairs_of(args.opts, where), where, domains, "command line")
    config.apply(WHICH_RUN, facts)
    _take_table(config, facts, keep=set(args.opts[::2]))
    config.taken = facts.checkout(config, args)
    for taken in config.taken:
        config.take(taken.values, str(taken.file))
    config.apply(NOISE, facts)
    config.apply(IMAGES, facts)
    check_noise(config, given)
    saved = facts.checkpoint(config, args)
    config.merge(saved.items(), args.model_dir, origin=f"checkpoint in {args.model_dir}")
    _check_values(config, facts.domains(str(config["TRAINER.NAME"])))
    check_training(config, args)
    facts.check(config, args)
    config.apply(LEFT_OUT, facts)
    return config


def _take_table(config: Config, facts: Facts, keep: Collection[str]) -> None:
    """Merge the method's settings for its dataset. They depend on DATASET.NOISE.*, so older keys are replaced."""
    table = facts.table({**config, **older_keys(config, facts)})
    config.merge(table.items(), f"{config['TRAINER.NAME']}'s dataset settings", keep=keep)


def _check_values(config: Config, domains: Mapping[str, Domain]) -> None:
    """Raises InputError for a value outside its key's domain, from any source. A test checks the defaults."""
    for key in config.origin:
        if key in config and key in domains:
            check_value(key, config[key], domains[key])
