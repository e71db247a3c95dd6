"""A suite: the runs that a YAML file describes, each identified by its resolved config.

`read_suite(file)` reads configs/suites/NAME.yaml into a `Suite`. A `Run` trains one model and tests it on one or more
datasets; each of these steps has a folder with a results.json.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dassl.utils import InputError
from runs.config_names import UNTRAINED
from runs.settled import check_keys
from runs.words import check_folder

from . import reader as suite_yaml
from .expand import Draft, expand, merge
from .known import Known
from .known import known as get_known
from .load import load, plugins_of
from .resolved import Resolved, Resolver
from .select import FILE as SELECTED
from .select import ORACLE, Candidate, Select, mark, read_selected
from .step import Job

KEPT = ".bench"  # folder of locks and notes, in the suite's output folder


@dataclass(frozen=True)
class Run:
    """A run. id: 12 hex digits, a hash of the resolved configs of its steps, without folders of outputs and data.

    dataset: of the training. variant: the label of settings with a subfolder of their own. folders: the folder of each
    step's results.json. home: the suite's folder .bench. resolved: the settings of each step. shares_crops: whether its
    training reads features of crops that other runs have encoded. stacks: whether its text passes can be made together
    with those of other runs. candidate: what it tries, if its block has `select`. blocks: those that ask for it, of
    which `block` is the first.
    """

    id: str
    job: Job
    block: str
    method: str
    dataset: str
    seed: int
    variant: str
    folders: tuple[Path, ...]
    home: Path
    resolved: tuple[Resolved, ...] = field(repr=False, compare=False)
    shares_crops: bool = field(default=False, repr=False, compare=False)
    stacks: bool = field(default=False, repr=False, compare=False)
    candidate: Candidate | None = None
    blocks: tuple[str, ...] = ()

    @property
    def epochs(self) -> int:
        """The number of epochs of the training, which is the first step."""
        return self.resolved[0].epochs

    def command(self, step: int = 0) -> str:
        """The command that runs one step alone, in the project's folder."""
        return self.job[step].command(self.epochs)

    def __str__(self) -> str:
        first = self.job[0].settings
        noisy = self.job[0].protocol in ("noise_train", "noise_xd_train")
        noise = f" {first.pairs[0]} {first.pairs[1]}" if noisy else ""
        variant = f" ({self.variant})" if self.variant else ""
        shots = f" {first.shots}-shot" if self.method not in UNTRAINED else ""
        return f"{self.block} {self.method}{variant} {self.dataset}{noise}{shots} seed {self.seed}"


@dataclass(frozen=True)
class Suite:
    """A suite. options: the command-line options that, with the file, describe the same suite.

    selects: {block with `select`: what it chooses}; tried: {such a block: its candidates, each with its run}. waiting:
    {block whose runs need a choice: the block of its candidates}. same: {id of a run: (block, variant) of further
    blocks that it stands for}. blocks: all of the file; part: those that were chosen, if not all.
    """

    name: str
    output: Path
    runs: list[Run]
    slurm: dict[str, object]
    file: Path
    options: tuple[str, ...] = ()
    selects: Mapping[str, Select] = field(default_factory=dict)
    tried: Mapping[str, Sequence[tuple[Candidate, Run]]] = field(default_factory=dict)
    waiting: Mapping[str, str] = field(default_factory=dict)
    same: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    blocks: tuple[str, ...] = ()
    part: tuple[str, ...] = ()

    @property
    def home(self) -> Path:
        return self.output / KEPT

    @property
    def title(self) -> str:
        """The name, with the chosen blocks behind it."""
        return f"{self.name} ({', '.join(self.part)})" if self.part else self.name

    def chosen(self, ids: Sequence[str]) -> list[Run]:
        """The runs with these ids; without ids, all. Raises InputError for unknown ids."""
        if not ids:
            return self.runs
        by_id = {run.id: run for run in self.runs}
        if wrong := [name for name in ids if name not in by_id]:
            raise InputError(
                f"{self.file} has no run {wrong[0]}; `python -m bench plan {self.file} --list` names them."
            )
        return [by_id[name] for name in dict.fromkeys(ids)]


def read_suite(
    file: str | Path, output: str = "", root: str = "data", seeds: Sequence[int] = (), pairs: Sequence[str] = ()
) -> Suite:
    """Read a suite's file. output, seeds, pairs: of the command line, which override the file's. root: of the datasets.

    Raises InputError, one sentence with the place, for errors in the file or the pairs.
    """
    return suite_of(load(Path(file)), Path(file), output, root, seeds, pairs)


def suite_of(
    tree: dict, file: Path, output: str = "", root: str = "data", seeds: Sequence[int] = (), pairs: Sequence[str] = ()
) -> Suite:
    """The suite of a tree that is, or will be, the content of `file`; the rest as for `read_suite`."""
    plugins, plugin_cfg = plugins_of(tree, file)
    known = get_known(plugins, plugin_cfg)
    resolver = Resolver(known)
    if len(pairs) % 2:
        raise InputError(f"Config pairs come as KEY VALUE, but {pairs[-1]!r} has no value after it.")
    check_keys(pairs[::2], "the command line")
    resolver.pairs(pairs, "the command line")
    given = dict(zip(pairs[::2], pairs[1::2], strict=True))
    spec = suite_yaml.read(file, tree, known, resolver, seeds, given)
    check_folder(root, "--root")
    check_folder(output or spec.output, "--output" if output else f"{file}, output")
    where = Path(output or spec.output)
    about = (resolver, spec.name, str(where), str(where / spec.variants), root, plugins, plugin_cfg)
    candidates = merge(expand([block for block in spec.blocks if block.select], *about, {}))
    selects = {block.name: block.select for block in spec.blocks if block.select}
    trials = [_run(draft, where / KEPT, known) for draft in candidates]
    marks = {name: mark(run.id for run in trials if run.block == name) for name in selects}
    chosen = read_selected(where / SELECTED, marks) if selects else {}
    drafts = merge(expand(spec.blocks, *about, chosen))
    known.save()
    options = ["--output", str(where), "--root", root]
    options += ["--seeds", *map(str, seeds)] if seeds else []
    runs, same = _unique([_run(draft, where / KEPT, known) for draft in drafts], drafts)
    made = {run.id: run for run in runs}
    tried = {
        name: [(run.candidate, made[run.id]) for run in trials if run.block == name and run.candidate]
        for name in selects
    }
    waiting = {block.name: block.selected for block in spec.blocks if block.selected and block.selected not in chosen}
    return Suite(
        spec.name, where, runs, spec.slurm, file, (*pairs, *options),  # --seeds would take pairs after it
        selects, tried, waiting, same, tuple(block.name for block in spec.blocks),
    )  # fmt: skip


def _run(draft: Draft, home: Path, known: Known) -> Run:
    first = draft.steps[0]
    parts = [resolved.hash(first.seed) for resolved in draft.resolved]
    text = " ".join([parts[0], *sorted(parts[1:])])  # sorted, so that the order of the tests has no effect
    identity = hashlib.sha256(text.encode()).hexdigest()[:12]
    return Run(
        identity, tuple(draft.steps), draft.block.name, first.method, first.dataset, first.seed, draft.label,
        tuple(map(Path, draft.folders)), home, tuple(draft.resolved),
        first.method in known.crops, first.method in known.stacks, draft.candidate, tuple(draft.blocks),
    )  # fmt: skip


def _unique(runs: list[Run], drafts: list[Draft]) -> tuple[list[Run], dict[str, tuple[tuple[str, str], ...]]]:
    """(runs, `Suite.same`): candidates, and blocks with chosen or published values, share runs that other blocks have.

    Whose folder a shared run has does not depend on the order in the file: a block without such values is the first,
    then candidates and published values, whose runs may be done when a choice is made, then chosen values, last what
    comes of test accuracy, so that no other run is called `oracle`. Raises InputError if blocks without such values ask
    for one run twice.
    """
    seen: dict[str, Run] = {}
    same: dict[str, tuple[tuple[str, str], ...]] = {}
    for run, draft in sorted(zip(runs, drafts, strict=True), key=lambda pair: _turn(pair[1])):
        if run.id not in seen:
            seen[run.id] = run
        elif _turn(draft):
            same[run.id] = (*same.get(run.id, ()), (run.block, run.variant))
        else:
            text = f"{run} has the same settings as {seen[run.id]}; leave one out."
            raise InputError(f"{draft.block.place}: {text}")
    return [run for run in runs if seen.get(run.id) is run], same


def _turn(draft: Draft) -> int:
    """The smaller, the sooner its block has a run that others ask for too."""
    if draft.label.split("/")[0] == ORACLE:
        return 3
    return 2 if draft.block.selected else 1 if draft.block.select or draft.block.published else 0
