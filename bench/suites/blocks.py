"""The protocols that a block of a suite may have: their keys, and their jobs for one method and seed.

A protocol is one function from `(block, method, seed, settings)` to jobs, and one entry of `PROTOCOLS`; the runs
themselves are in runs/ (docs/add_a_protocol.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from dassl.utils import InputError
from runs import noise_protocols
from runs.conditions import few_shot_folder
from runs.config_names import FROM_A_RUN, KNOWN_CLASSES_ONLY, OF_NEW_CLASSES, ONLINE, TEST_TIME, UNTRAINED
from runs.protocols import Settings
from runs.robust_protocol import HALF
from runs.targets import expand
from runs.text_noise_protocol import check_kind
from runs.tta_protocol import check_online

from .robust_step import RobustStep, mode_of, without_attack
from .select import Select
from .step import Job, Step

CTX_FROM = "TRAINER.TTA.CTX_FROM"
CLEAN = ("sym_other", 0.0)  # the clean run, which all types that change labels share


@dataclass(frozen=True)
class Block:
    """One block of a suite, checked. `methods`: (folder label or "", registered name, config pairs).

    types: {noise type: rates}. conditions: (corruption, severity) or (kind, strength) of each test. sweep: config pairs
    of each point. eps () and steps (): no attack. start: the method whose learned context test-time methods start from.
    select: its runs are candidates; selected: the block among whose
    candidates a value was chosen for it; published: config keys that have each method's published value.
    """

    place: str  # file and block, for error messages
    name: str
    protocol: str
    methods: tuple[tuple[str, str, tuple[str, ...]], ...]
    datasets: tuple[str, ...]
    seeds: tuple[int, ...]
    shots: tuple[int, ...] = (16,)
    source: str = ""
    cfg: str = ""
    variant: str = ""
    overrides: dict[str, str] = field(default_factory=dict)
    sweep: tuple[dict[str, str], ...] = ({},)
    types: dict[str, tuple[float, ...]] = field(default_factory=dict)
    swaps: tuple[str, ...] = ()  # noise types that swap images, whose sample at rate 0 differs from the clean one
    attacks: tuple[str, ...] = ()
    eps: tuple[float, ...] = ()
    steps: tuple[int, ...] = ()
    modes: tuple[str, ...] = ()
    subset: int = 0
    conditions: tuple[tuple[str, str], ...] = ()
    start: str = ""
    select: Select | None = None
    selected: str = ""
    published: tuple[str, ...] = ()

    def noise(self, method: str) -> Iterable[tuple[str, float]]:
        """(type, rate) of each run. All types share one clean run; a method without training has only that."""
        points = [(kind, rate) for kind, rates in self.types.items() for rate in rates]
        if method in UNTRAINED:
            return [CLEAN]
        return dict.fromkeys(CLEAN if not rate and kind not in self.swaps else (kind, rate) for kind, rate in points)


@dataclass(frozen=True)
class Protocol:
    """A protocol. keys: keys of its blocks beside those of all blocks; needs: required keys. script: the protocol of
    runs/ that says which names of datasets are valid. default: datasets of a block that names none."""

    jobs: Callable[[Block, str, int, Settings], Iterator[Job]]
    script: str
    keys: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    default: str = ""


def datasets_of(protocol: Protocol, names: str, source: str, plugins: Sequence[str] = ()) -> list[str]:
    """The datasets of a text of names and groups with commas between. Raises InputError for unknown ones."""
    find = noise_protocols.datasets_of if protocol.script in noise_protocols.PROTOCOLS else expand
    return find(protocol.script, names, source, plugins)


def _of(method: str, *parts: str) -> tuple[str, ...]:
    """Those of these protocols that the method has: some do not answer for new classes."""
    return tuple(part for part in parts if method not in KNOWN_CLASSES_ONLY or part not in OF_NEW_CLASSES)


def _base2new(block: Block, method: str, seed: int, settings: Settings) -> Iterator[Job]:
    """Jobs: training on the base classes, then the test on the new ones."""
    parts = _of(method, "base2new_train", "base2new_test")
    for dataset in block.datasets:
        yield tuple(Step(part, method, dataset, seed, settings) for part in parts)


def _open_world(block: Block, method: str, seed: int, settings: Settings) -> Iterator[Job]:
    """Jobs: training on the base classes, then the test over base and new classes together."""
    parts = _of(method, "base2new_train", "open_world_test")
    for dataset in block.datasets:
        yield tuple(Step(part, method, dataset, seed, settings) for part in parts)


def _few_shot(block: Block, method: str, seed: int, settings: Settings) -> Iterator[Job]:
    yield from ((Step("few_shot", method, dataset, seed, settings),) for dataset in block.datasets)


def _away(test: str) -> Callable:
    """A function that gives the job of training on the source once, then testing on each dataset."""

    def jobs(block: Block, method: str, seed: int, settings: Settings) -> Iterator[Job]:
        tests = (Step(test, method, dataset, seed, settings) for dataset in block.datasets if _of(method, test))
        yield (Step("xd_train", method, block.source, seed, settings), *tests)

    return jobs


def _noise(block: Block, method: str, seed: int, settings: Settings) -> Iterator[Job]:
    for dataset in block.datasets:
        for kind, rate in block.noise(method):
            own = replace(settings, pairs=(kind, str(rate), *settings.pairs))
            yield (Step("noise_train", method, dataset, seed, own),)


def _noise_xd(block: Block, method: str, seed: int, settings: Settings) -> Iterator[Job]:
    for kind, rate in block.noise(method):
        own = replace(settings, pairs=(kind, str(rate), *settings.pairs))
        tests = (Step("noise_xd_test", method, dataset, seed, own) for dataset in block.datasets)
        yield (Step("noise_xd_train", method, block.source, seed, own), *tests)


def _real_noise(block: Block, method: str, seed: int, settings: Settings) -> Iterator[Job]:
    """Jobs: training on each dataset; WebVision's model is also tested on ILSVRC12."""
    for dataset in block.datasets:
        parts = ("real_noise_train", "real_noise_test")[: 2 if dataset == "webvision" else 1]
        yield tuple(Step(part, method, dataset, seed, settings) for part in parts)


def _started(block: Block, method: str, dataset: str, seed: int, settings: Settings) -> tuple[Job, Settings]:
    """The few-shot training of the block's `start`, and the settings of tests that begin with its context.

    The training is the one of a block without a variant, so that a suite that has it trains once. Raises InputError for
    a method that does not tune a context.
    """
    if not block.start:
        return (), settings
    if method not in (*TEST_TIME, *ONLINE) or method in FROM_A_RUN:
        known = ", ".join(name for name in TEST_TIME if name not in FROM_A_RUN)
        raise InputError(f"start: {method} starts from no context; methods that do are {known}.")
    pairs = without_attack(settings.pairs, ("ATTACK.", "TEST.", "TRAINER."))
    trained = replace(settings, output=settings.top, pairs=pairs)
    folder = few_shot_folder(block.start, dataset, seed, trained)
    step = Step("few_shot", block.start, dataset, seed, trained)
    return (step,), replace(settings, pairs=(*settings.pairs, CTX_FROM, str(folder)))


def _test_time(block: Block, method: str, seed: int, settings: Settings) -> Iterator[Job]:
    """Jobs: a test on clean images, and on those of each attack; in `online` on the stream of them."""
    if method not in UNTRAINED:
        raise InputError(f"{method} has to be trained; methods of {block.protocol} are {', '.join(UNTRAINED)}.")
    check_online(block.protocol, method)
    attacks = [(f"{eps:g}", str(steps)) for eps in block.eps for steps in block.steps if eps] or [()]
    if block.eps and 0 in block.eps:
        attacks = list(dict.fromkeys([(), *attacks]))
    for dataset in block.datasets:
        before, own = _started(block, method, dataset, seed, settings)
        for attack in attacks:
            step = Step(block.protocol, method, dataset, seed, replace(own, pairs=(*attack, *own.pairs)))
            yield (*before, step)


def _attacks(block: Block, method: str, seed: int, settings: Settings, dataset: str) -> list[Step]:
    """The evaluations of a method under each attack of the block that it can be evaluated under."""
    subset = ("ATTACK.SUBSET", str(block.subset)) if block.subset else ()
    steps: list[Step] = []
    for attack, eps, count in [(a, e, s) for a in block.attacks for e in block.eps for s in block.steps]:
        if mode := mode_of(method, attack, block.modes):
            pairs = (f"{eps:g}", str(count), mode, "ATTACK.NAME", attack, *subset, *settings.pairs)
            steps.append(RobustStep("robust", method, dataset, seed, replace(settings, pairs=pairs)))
    return steps


def _attacked(method: str, trained: Step, steps: list[Step]) -> Iterator[Job]:
    """Jobs: the training, if the method is trained, then its evaluations under attack."""
    if method in UNTRAINED:
        yield from ((step,) for step in steps)
    elif steps:
        plain = replace(trained.settings, pairs=without_attack(trained.settings.pairs))
        yield (replace(trained, settings=plain), *steps)


def _adversarial(block: Block, method: str, seed: int, settings: Settings) -> Iterator[Job]:
    """Jobs: the few-shot training, if the method is trained, then its evaluations under attack."""
    for dataset in block.datasets:
        before, own = _started(block, method, dataset, seed, settings)
        steps = _attacks(block, method, seed, own, dataset)
        if before and steps:
            yield (*before, *steps)
        else:
            yield from _attacked(method, Step("few_shot", method, dataset, seed, settings), steps)


def _adversarial_base2new(block: Block, method: str, seed: int, settings: Settings) -> Iterator[Job]:
    """Jobs: training on the base classes, then evaluations under attack on base classes and on new ones."""
    halves = ("base",) if method in KNOWN_CLASSES_ONLY else ("base", "new")
    for dataset in block.datasets:
        each = [replace(settings, pairs=(*settings.pairs, HALF, half)) for half in halves]
        steps = [step for own in each for step in _attacks(block, method, seed, own, dataset)]
        yield from _attacked(method, Step("base2new_train", method, dataset, seed, settings), steps)


def _adversarial_cross_dataset(block: Block, method: str, seed: int, settings: Settings) -> Iterator[Job]:
    """Jobs: training on the source once, then evaluations under attack on it and on each dataset."""
    names = [block.source] if method in KNOWN_CLASSES_ONLY else dict.fromkeys((block.source, *block.datasets))
    steps = [step for name in names for step in _attacks(block, method, seed, settings, name)]
    yield from _attacked(method, Step("xd_train", method, block.source, seed, settings), steps)


def _check_kinds(block: Block, method: str, dataset: str) -> None:
    """Raises InputError, with the place in the file, for a kind that the method or the dataset has no text for."""
    for kind in dict.fromkeys(kind for kind, _ in block.conditions):
        try:
            check_kind(kind, method, dataset)
        except InputError as error:
            raise InputError(f"{block.place}, kinds: {error}") from error


def _conditions(test: str) -> Callable:
    """A function that gives the jobs of the few-shot training, if the method is trained, then the test under each
    condition."""

    def jobs(block: Block, method: str, seed: int, settings: Settings) -> Iterator[Job]:
        check_online(block.protocol, method)
        for dataset in block.datasets:
            if block.protocol == "text_noise":
                _check_kinds(block, method, dataset)
            tests = [
                Step(test, method, dataset, seed, replace(settings, pairs=(*condition, *settings.pairs)))
                for condition in block.conditions
            ]
            if method in UNTRAINED:
                yield from ((step,) for step in tests)
            else:
                plain = replace(settings, pairs=without_attack(settings.pairs, CONDITION_KEYS))
                yield (Step("few_shot", method, dataset, seed, plain), *tests)

    return jobs


NOISE = ("types", "rates")
ATTACKS = ("attacks", "eps", "steps", "modes", "subset")
CONDITION_KEYS = (
    "TEST.CORRUPTION.",
    "TEST.TEXT_NOISE.",
)  # of the tests under a condition alone, not of the training before them
PROTOCOLS = {
    "base2new": Protocol(_base2new, "base2new_train"),
    "open_world": Protocol(_open_world, "base2new_train"),
    "cross_dataset": Protocol(_away("xd_test"), "xd_test", ("source",), default="all"),
    "domain_generalization": Protocol(_away("dg_test"), "dg_test", ("source",), default="all"),
    "few_shot": Protocol(_few_shot, "few_shot"),
    "noise": Protocol(_noise, "noise_train", NOISE, ("types",)),
    "noise_xd": Protocol(_noise_xd, "noise_xd_test", ("source", *NOISE), ("types",), default="all"),
    "real_noise": Protocol(_real_noise, "real_noise_train", default="all"),
    "test_time": Protocol(_test_time, "test_time", ("eps", "steps", "start")),
    "online": Protocol(_test_time, "online", ("eps", "steps", "start")),
    "corruption": Protocol(_conditions("corruption_test"), "few_shot", ("corruptions", "severities")),
    "text_noise": Protocol(_conditions("text_noise_test"), "few_shot", ("kinds",)),
    "adversarial": Protocol(_adversarial, "few_shot", (*ATTACKS, "start"), ("eps", "steps")),
    "adversarial_base2new": Protocol(_adversarial_base2new, "base2new_train", ATTACKS, ("eps", "steps")),
    "adversarial_cross_dataset": Protocol(
        _adversarial_cross_dataset, "xd_test", ("source", *ATTACKS), ("eps", "steps"), default="all"
    ),
}
