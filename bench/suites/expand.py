"""Expands the blocks of a suite into runs: the product of what they list, with trainings that are shared run once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dassl.utils import InputError
from runs.about import VARIANTS
from runs.config_names import UNTRAINED
from runs.protocols import Settings
from runs.settled import check_pairs

from .blocks import PROTOCOLS, Block
from .resolved import Arguments, Resolved, Resolver
from .robust_step import RobustStep, seeds_of
from .select import Candidate, Select, concerns, published_text, published_value
from .step import Step
from .values import text_of


@dataclass
class Draft:
    """A run before `merge`, which joins runs that share their training."""

    block: Block
    label: str
    steps: list[Step]
    folders: list[str]
    resolved: list[Resolved]
    candidate: Candidate | None = None
    blocks: list[str] = field(default_factory=list)  # names of those that ask for it, first the one it is shown under
    unchanged: bool = False  # of a block with `published`, whose keys do not concern the method: a run as without it


def expand(
    blocks: Sequence[Block],
    resolver: Resolver,
    suite: str,
    output: str,
    variants: str,
    root: str,
    plugins: Sequence[str],
    cfgs: Sequence[str],
    chosen: Mapping[str, Mapping[str, str]],
) -> Iterator[Draft]:
    """The runs of all blocks, seed by seed, so that a first table is complete early.

    suite: its name. variants: the folder that holds the variants' folders. plugins, cfgs: files that every run loads.
    chosen: {block with `select`: {method: value}}; blocks whose choice is not made yet are left out.
    """
    selects = {block.name: block.select for block in blocks if block.select}
    for seed in dict.fromkeys(seed for block in blocks for seed in block.seeds):
        for block in blocks:
            for name, method, pairs in block.methods:
                if seed not in seeds_of(method, block.seeds, block.protocol):
                    continue
                for point in _points(block, name or method, method, selects, chosen, resolver):
                    own_name = block.variant or ("published" if block.published and point else "")
                    label = _label(own_name, name, point)
                    tried = _candidate(block, name or method, method, point, resolver)
                    settings = dict(block.overrides) | dict(zip(pairs[::2], pairs[1::2], strict=True)) | point
                    flat = tuple(x for pair in settings.items() for x in pair)
                    folder = f"{output}/{VARIANTS}/{label}" if tried else f"{variants}/{label}" if label else output
                    for shots in block.shots[:1] if method in UNTRAINED else block.shots:
                        own = Settings(
                            root,
                            block.cfg,
                            shots,
                            folder,
                            "",
                            flat,
                            block.source,
                            plugins,
                            cfgs,
                            resolver.known.doubles,
                            suite=suite,
                            top=output,
                        )
                        for draft in _block_drafts(block, method, seed, own, label, resolver, tried):
                            draft.unchanged = bool(block.published and not point)
                            yield draft


def _points(
    block: Block,
    name: str,
    method: str,
    selects: Mapping[str, Select],
    chosen: Mapping[str, Mapping[str, str]],
    resolver: Resolver,
) -> Sequence[dict[str, str]]:
    """The config pairs of each point of a block for one method. name: the method's in the suite."""
    if block.select:
        return [{block.select.key: value} for value in block.select.candidates(method, resolver, block.place)]
    if block.selected:
        values = chosen.get(block.selected, {})
        return [{selects[block.selected].key: values[name]}] if name in values else []
    if block.published:
        place = f"{block.place}, published"
        keys = [key for key in block.published if concerns(method, key, resolver)]
        return [{key: text_of(published_value(method, key, resolver, place)) for key in keys}]
    return block.sweep


def _candidate(block: Block, name: str, method: str, point: Mapping[str, str], resolver: Resolver) -> Candidate | None:
    if not block.select:
        return None
    key = block.select.key
    return Candidate(name, point[key], published_text(method, key, resolver))


def _block_drafts(
    block: Block,
    method: str,
    seed: int,
    settings: Settings,
    label: str,
    resolver: Resolver,
    candidate: Candidate | None,
) -> Iterator[Draft]:
    """candidate: what the block's runs try; of these only the training is run, with its own test."""
    try:
        for job in PROTOCOLS[block.protocol].jobs(block, method, seed, settings):
            steps = list(job[:1] if candidate else job)
            draft = Draft(block, label, steps, [], [], candidate)
            for step in steps:
                _resolve(step, draft, resolver)
            yield draft
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(block.place) else f"{block.place}: {error}") from error


def _resolve(step: Step, draft: Draft, resolver: Resolver) -> None:
    """Add the step's folder and settings to the draft. A test evaluates the model that the first step trains."""
    check_pairs(step.protocol, step.settings.pairs, step.settings.output, "the config pairs")
    first = draft.resolved[0] if draft.resolved else None
    arguments, _, folder = Arguments.of(step.planned(first.epochs if first else 0))
    mode = ""
    if isinstance(step, RobustStep):
        arguments, mode = replace(arguments, opts=(*arguments.opts, "TEST.ADV_SET", "make")), step.mode
    draft.folders.append(folder)
    draft.resolved.append(resolver.resolve(arguments, first if arguments.model else None, mode, draft.block.place))


def merge(drafts: Iterable[Draft]) -> list[Draft]:
    """Join runs that begin with the same training. Raises InputError if two runs have the same folder, unless a block
    with `published` leaves one of them as it is: then they are one."""
    found: list[Draft] = []
    owners: dict[str, tuple[Draft, int]] = {}
    for draft in drafts:
        owner, position = owners.get(draft.folders[0], (None, 0))
        shares = owner is not None and position == 0 and owner.resolved[0].text == draft.resolved[0].text
        if shares and (len(draft.steps) > 1 or len(owner.steps) > 1):
            target, new = owner, range(1, len(draft.steps))
        else:
            target, new = replace(draft, steps=[], folders=[], resolved=[], blocks=[]), range(len(draft.steps))
            found.append(target)
        others = {i: owners[draft.folders[i]][0] for i in new if draft.folders[i] in owners}
        ones = [i for i, other in others.items() if _is_one(draft, i, other)]
        _asks(draft, target)
        for i in new:
            if i in ones:
                _asks(draft, others[i])
                continue
            if i in others:
                raise InputError(_clash(draft, i, others[i]))
            target.steps.append(draft.steps[i])
            target.folders.append(draft.folders[i])
            target.resolved.append(draft.resolved[i])
            owners[draft.folders[i]] = target, len(target.steps) - 1
    return [draft for draft in found if draft.steps]


def _asks(draft: Draft, target: Draft) -> None:
    """Note that the draft's block asks for the run `target`. It is shown under a block that is not `published`."""
    if draft.block.name not in target.blocks:
        target.blocks.append(draft.block.name)
    if target.unchanged and not draft.unchanged:
        target.block, target.unchanged = draft.block, False
        target.blocks.sort(key=lambda name: name != draft.block.name)


def _is_one(draft: Draft, i: int, other: Draft) -> bool:
    """Whether the draft's i-th step is a run of `other`, which a block with `published` asks for as it is."""
    theirs = other.resolved[other.folders.index(draft.folders[i])]
    return (draft.unchanged or other.unchanged) and theirs.text == draft.resolved[i].text


def _clash(draft: Draft, i: int, other: Draft) -> str:
    theirs = other.resolved[other.folders.index(draft.folders[i])]
    place = "" if other.block is draft.block else f" of {other.block.place.rpartition(', ')[2]}"
    if theirs.text == draft.resolved[i].text:
        return f"{draft.block.place}: {draft.steps[i]} is a run{place} already; leave one out."
    return (
        f"{draft.block.place}: {draft.steps[i]} has other settings than the run{place} in the same folder; "
        "give one of the blocks a `variant: NAME`."
    )


def _label(variant: str, method: str, point: dict[str, str]) -> str:
    """The name of the folder for a variant, a method's variant or a point of a sweep; "" for none of these."""
    last = [key.rpartition(".")[2] for key in point]
    words = [
        f"{key if last.count(short) > 1 else short}={value}"
        for (key, value), short in zip(point.items(), last, strict=True)
    ]
    own = [re.sub(r"[^\w.=,+-]", "_", part) for part in (method, *words)]
    return ",".join(filter(None, (re.sub(r"[^\w.=,+/-]", "_", variant), *own)))
