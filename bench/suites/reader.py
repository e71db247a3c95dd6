"""Checks the content of a suite's YAML file. Every error is one sentence with the file and the place in it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dassl.utils import InputError
from runs.arguments import is_file
from runs.config_names import CONTEXT_ALONE, method_name
from runs.corruption_protocol import names_of
from runs.robust_protocol import MODES
from runs.text_noise_protocol import points
from runs.words import check_folder

from ..slurm.options import check_block
from .blocks import PROTOCOLS, Block, Protocol, datasets_of
from .choosing import choosing
from .known import Known
from .methods import check_methods
from .resolved import Resolver
from .select import read_choice
from .values import (
    check_config_keys,
    check_keys,
    check_name,
    check_type,
    joined,
    listed,
    numbers,
    once,
    pairs_of,
    rate_list,
    text_of,
    unknown,
    whole_numbers,
)

TOP = ("name", "output", "variants", "seeds", "overrides", "slurm", "plugins", "plugin_cfg", "blocks")
COMMON = (
    "name", "protocol", "methods", "datasets", "seeds", "shots", "cfg", "variant", "overrides", "sweep",
    "select", "selected", "published",
)  # fmt: skip
DEFAULT_ATTACK = {"attacks": ["pgd"], "modes": list(MODES)}


@dataclass(frozen=True)
class Spec:
    """The checked content of a suite's file."""

    name: str
    output: str
    variants: str  # folder in `output` that holds the folders of variants
    blocks: tuple[Block, ...]
    slurm: dict[str, object]


def read(file: Path, tree: dict, known: Known, resolver: Resolver, seeds: Sequence[int], pairs: dict[str, str]) -> Spec:
    """Check the content `tree` of a suite's file. seeds, pairs: of the command line, which override the file's."""
    place = str(file)
    check_keys(tree, TOP, place)
    name = tree.get("name", file.stem)
    check_name(name, f"{place}, name")
    output = tree.get("output", f"output/{name}")
    check_type(output, str, f"{place}, output")
    check_folder(output, f"{place}, output")
    variants = tree.get("variants", "variants")
    if variants != ".":
        check_name(variants, f"{place}, variants")
    slurm = tree.get("slurm", {})
    check_type(slurm, dict, f"{place}, slurm")
    check_block(slurm, place)
    blocks = tree.get("blocks")
    check_type(blocks, list, f"{place}, blocks")
    if not blocks:
        raise InputError(f"{place}, blocks: is empty; name at least one block.")
    common = pairs_of(tree.get("overrides", {}), f"{place}, overrides", resolver)
    reader = _Reader(file, known, resolver, tuple(seeds), tree.get("seeds", [1, 2, 3]), common, pairs)
    found = []
    for number, block in enumerate(blocks, start=1):
        found.append(reader.block(block, f"{place}, block {number}"))
        names = [b.name for b in found]
        if names.count(found[-1].name) > 1:
            if "name" in block:
                raise InputError(f"{found[-1].place}, name: {found[-1].name!r} is another block's; give it its own.")
            found[-1] = replace(found[-1], name=f"{found[-1].name}-{number}")
    found = choosing(found, pairs)
    return Spec(name, output, variants, tuple(found), slurm)


@dataclass(frozen=True)
class _Reader:
    file: Path
    known: Known
    resolver: Resolver
    given_seeds: tuple[int, ...]
    seeds: object
    common: dict[str, str]
    given: dict[str, str]

    def block(self, tree: object, place: str) -> Block:
        check_type(tree, dict, place)
        protocol_name = tree.get("protocol")
        if not isinstance(protocol_name, str) or protocol_name not in PROTOCOLS:
            raise InputError(f"{place}, protocol: {unknown('protocol', protocol_name, PROTOCOLS)}")
        protocol = PROTOCOLS[protocol_name]
        name = tree.get("name", protocol_name)
        check_type(name, str, f"{place}, name")
        place = f"{place} ({name})"
        check_keys(tree, (*COMMON, *protocol.keys), place)
        for key in ("methods", *protocol.needs, *(() if protocol.default else ("datasets",))):
            if key not in tree:
                raise InputError(f"{place}: `{key}` is missing; a block of {protocol_name} needs it.")
        source = self._source(tree, protocol, place)
        variant = tree.get("variant", "")
        if variant != "":
            check_type(variant, str, f"{place}, variant")
            for part in variant.split("/"):
                check_name(part, f"{place}, variant")
        cfg = tree.get("cfg", "")
        check_type(cfg, str, f"{place}, cfg")
        if is_file(cfg):
            cfg = str((self.file.parent / Path(cfg).expanduser()).resolve())
        overrides = self.common | pairs_of(tree.get("overrides", {}), f"{place}, overrides", self.resolver)
        own = {
            "methods": self._methods(joined(listed(tree, "methods", place)), f"{place}, methods"),
            "datasets": self._datasets(tree, protocol, source, f"{place}, datasets"),
            "seeds": self.given_seeds or whole_numbers(tree.get("seeds", self.seeds), f"{place}, seeds", 0),
            "shots": self._shots(tree, protocol_name, f"{place}, shots"),
            "sweep": self._sweep(tree.get("sweep", {}), f"{place}, sweep"),
            **read_choice(tree, place, self.resolver),
            "overrides": overrides | self.given,
        }
        own |= {"start": self._start(tree["start"], f"{place}, start")} if "start" in tree else {}
        own |= self._noise(tree, place) if "types" in protocol.keys else {}
        own |= self._attack(tree, protocol, place) if "eps" in protocol.keys else {}
        own |= self._kinds(tree, place) if "kinds" in protocol.keys else {}
        own |= self._corruptions(tree, place) if "corruptions" in protocol.keys else {}
        variant = variant or (f"from_{own['start']}" if "start" in own else "")
        found = Block(place, name, protocol_name, source=source, cfg=cfg,
                      variant=variant, **own)  # fmt: skip
        self._check_given(found)
        return found

    def _methods(self, names: list, place: str) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        variants = {name.casefold(): name for name in self.known.variants}
        found = []
        for name in names:
            if name == []:
                raise InputError(f"{place}: a list in it is empty; name at least one method there, or leave it out.")
            check_type(name, str, place)
            for sentence, classes in self.known.broken:
                if name in classes:
                    raise InputError(f"{place}: {name} is a plugin's, and {sentence[0].lower()}{sentence[1:]}.")
            if name in self.known.from_plugins:
                found.append(("", name, ()))
                continue
            if name.casefold() in variants:
                label = variants[name.casefold()]
                method, pairs = self.known.variants[label]
                found.append((label, method, tuple(pairs)))
                continue
            try:
                found += [("", method, ()) for method in check_methods([method_name(name)])]
            except InputError as error:
                raise InputError(f"{place}: {error}") from error
        return once(found, place, lambda entry: entry[0] or entry[1])

    def _start(self, name: object, place: str) -> str:
        """The method that is trained first. Its context has to be all that it is tested with."""
        check_type(name, str, place)
        found = method_name(str(name))
        if found not in CONTEXT_ALONE:
            raise InputError(f"{place}: {unknown('method that is tested with a context alone', found, CONTEXT_ALONE)}")
        return found

    def _datasets(self, tree: dict, protocol: Protocol, source: str, place: str) -> tuple[str, ...]:
        names = tree.get("datasets", protocol.default)
        if isinstance(names, list):
            once(names, place)
            for name in names:
                if isinstance(name, (list, dict)):
                    check_type(name, str, place)
            names = ",".join(map(str, names))
        check_type(names, str, place)
        try:
            found = datasets_of(protocol, names, source, self.known.plugins)
        except InputError as error:
            raise InputError(f"{place}: {error}") from error
        if source and source in found:
            raise InputError(f"{place}: {source} is the source, which is tested in any case; leave it out.")
        return tuple(found)

    def _source(self, tree: dict, protocol: Protocol, place: str) -> str:
        if "source" not in protocol.keys:
            return ""
        source = tree.get("source", "imagenet")
        check_type(source, str, f"{place}, source")
        try:
            datasets_of(PROTOCOLS["few_shot"], source, "", self.known.plugins)
        except InputError as error:
            raise InputError(f"{place}, source: {error}") from error
        return source

    def _shots(self, tree: dict, protocol: str, place: str) -> tuple[int, ...]:
        """The numbers of shots. -1 means every image, and is valid for real label noise only."""
        least = -1 if protocol == "real_noise" else 1
        found = whole_numbers(tree.get("shots", 16), place, least)
        if 0 in found:
            raise InputError(f"{place}: 0 is no count of training images.")
        return found

    def _sweep(self, tree: object, place: str) -> tuple[dict[str, str], ...]:
        """The points of a sweep: the product of the values of its keys."""
        check_type(tree, dict, place)
        axes = []
        for key, values in tree.items():
            check_type(values, list, f"{place}, {key}")
            if not values:
                raise InputError(f"{place}, {key}: is empty; name at least one value.")
            check_config_keys([str(key)], f"{place}, {key}")
            for value in values:
                self.resolver.value(str(key), value, f"{place}, {key}")
            texts = [text_of(value) for value in values]
            once(texts, f"{place}, {key}")
            axes.append([(str(key), text) for text in texts])
        return tuple(dict(point) for point in itertools.product(*axes))

    def _noise(self, tree: dict, place: str) -> dict:
        types, rates = tree["types"], tree.get("rates")
        if isinstance(types, dict):
            if rates is not None:
                raise InputError(f"{place}, rates: the types have rates of their own; leave one of both out.")
            found = {name: rate_list(each, f"{place}, types, {name}") for name, each in types.items()}
        else:
            if rates is None:
                raise InputError(f"{place}: `rates` is missing; a list of types needs it.")
            each = rate_list(rates, f"{place}, rates")
            names = once(listed(tree, "types", place), f"{place}, types")
            for name in names:
                check_type(name, str, f"{place}, types")
            found = dict.fromkeys(names, each)
        for name in found:
            if name not in self.known.noise_types:
                raise InputError(f"{place}, types: {unknown('noise type', name, self.known.noise_types)}")
        if not found:
            raise InputError(f"{place}, types: is empty; name at least one.")
        return {"types": found, "swaps": tuple(self.known.swaps)}

    def _attack(self, tree: dict, protocol: Protocol, place: str) -> dict:
        found = {}
        for key in ("eps", "steps"):
            if key in tree:
                found[key] = numbers(tree[key], f"{place}, {key}", 0 if key == "eps" else 1, whole=key == "steps")
        if bool(found.get("eps")) != bool(found.get("steps")):
            raise InputError(f"{place}: eps and steps go together; name both, or none.")
        if any(eps > 255 for eps in found.get("eps", ())):
            raise InputError(f"{place}, eps: is in 1/255, so at most 255.")
        if "attacks" not in protocol.keys:
            return found
        if 0 in found["eps"]:
            raise InputError(f"{place}, eps: 0 is no attack, and clean accuracy is in every evaluation; leave it out.")
        tree = {**DEFAULT_ATTACK, **tree}
        known = {"attacks": [a for a in self.known.attacks if a not in ("none", "cw-l2")], "modes": list(MODES)}
        for key, names in known.items():
            found[key] = once(listed(tree, key, place), f"{place}, {key}")
            if wrong := [name for name in found[key] if name not in names]:
                raise InputError(f"{place}, {key}: {unknown(key[:-1], wrong[0], names)}")
        (found["subset"],) = whole_numbers([tree.get("subset", 0)], f"{place}, subset", 0)
        return found

    def _corruptions(self, tree: dict, place: str) -> dict:
        """(corruption, severity) of each test; by default the 15 of ImageNet-C at all severities."""
        where = f"{place}, corruptions"
        given = once(listed({"corruptions": "all", **tree}, "corruptions", place), where)
        for name in given:
            check_type(name, str, where)
        try:
            names = names_of(given)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        levels = whole_numbers(tree.get("severities", [1, 2, 3, 4, 5]), f"{place}, severities", 1)
        if wrong := [level for level in levels if level > 5]:
            raise InputError(f"{place}, severities: {wrong[0]} must be from 1 to 5.")
        return {"conditions": tuple((name, str(level)) for name in names for level in levels)}

    def _kinds(self, tree: dict, place: str) -> dict:
        """(kind, strength) of each test with noisy text, from a list of kinds or {kind: strengths}."""
        where, kinds = f"{place}, kinds", tree.get("kinds", "all")
        if not isinstance(kinds, dict):
            names = once(listed({"kinds": kinds}, "kinds", place), where)
            for name in names:
                check_type(name, str, where)
            kinds = dict.fromkeys(names, ["all"])
        found: list[tuple[str, str]] = []
        for kind, each in kinds.items():
            strengths = each if isinstance(each, list) else [each]
            if not strengths:
                raise InputError(f"{where}, {kind}: is empty; name at least one.")
            try:
                found += [point for strength in strengths for point in points(str(kind), [str(strength)])]
            except InputError as error:
                raise InputError(f"{where}: {error}") from error
        if not found:
            raise InputError(f"{where}: is empty; name at least one.")
        return {"conditions": once(found, where, lambda point: f"{point[0]} {point[1]}")}

    def _check_given(self, block: Block) -> None:
        """Raises InputError for a key of the command line or overrides that a sweep or a method's variant sets too."""
        fixed = [dict(zip(pairs[::2], pairs[1::2], strict=True)) for _, _, pairs in block.methods]
        for key in {key for point in (*block.sweep, *fixed) for key in point}:
            if key in self.given or key in block.overrides:
                where = "the command line" if key in self.given else "overrides"
                raise InputError(
                    f"{block.place}: {key} of {where} is swept, or set by a method's variant; leave one out."
                )
