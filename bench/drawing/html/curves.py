"""Charts of accuracy over shots, rate of wrong labels and strength of an attack, as data for the page's script."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from datasets.noise.names import spoken
from runs.config_names import UNTRAINED

from .dots import halves, targets
from .naming import ATTACK, attacker
from .numbers import AVERAGE, Entry, Number
from .tables import clean_everywhere

Points = dict[float, Number]


def charts(protocol: str, found: Sequence[Entry], methods: dict[str, int]) -> list[dict]:
    """The charts of a protocol: [{title, about, dataset, x, y, series: [method, x, y, std, flat]}] or those of
    `dots.py`, or []."""
    dotted = {"base2new": halves, "cross_dataset": targets}
    maker = {
        "few_shot": _few_shot,
        "noise": _noise,
        "noise_xd": _noise_xd,
        "robust": _attacks,
        "test_time": _attacks,
        "online": _attacks,
    }
    if protocol in dotted:
        return dotted[protocol](found, methods)
    return [_plain(chart, methods) for chart in maker[protocol](found)] if protocol in maker else []


class _Chart:
    """One chart. lines: {label: its points}. flat: labels of methods with one number for the whole axis."""

    def __init__(self, title: str, about: str, dataset: str, x: dict) -> None:
        self.title, self.about, self.dataset, self.x = title, about, dataset, x
        self.lines: dict[str, Points] = defaultdict(dict)
        self.flat: set[str] = set()


def _plain(chart: _Chart, methods: dict[str, int]) -> dict:
    places = sorted({x for label, points in chart.lines.items() if label not in chart.flat for x in points})
    series = []
    for label, points in sorted(chart.lines.items(), key=lambda line: methods[line[0]]):
        if label in chart.flat:
            xs, numbers = [places[0], places[-1]], [next(iter(points.values()))] * 2
        else:
            xs = sorted(points)
            numbers = [points[x] for x in xs]
        spreads = [round(n.std or 0.0, 3) for n in numbers]
        line = [methods[label], xs, [round(n.mean, 3) for n in numbers], spreads if any(spreads) else None]
        series.append([*line, label in chart.flat])
    y = {"label": "accuracy, %", "percent": True, "digits": 2}
    ticks = {"ticks": places} if len(places) <= 8 else {}
    return {
        "title": chart.title, "about": chart.about, "dataset": chart.dataset,
        "x": chart.x | ticks, "y": y, "series": series,
    }  # fmt: skip


def _drawn(made: Iterable[_Chart]) -> list[_Chart]:
    """The charts that have a line of at least two points, averages first."""
    drawn = [c for c in made if any(len(points) > 1 for label, points in c.lines.items() if label not in c.flat)]
    return sorted(drawn, key=lambda c: not c.dataset.startswith(AVERAGE))


def _few_shot(found: Sequence[Entry]) -> list[_Chart]:
    made: dict[str, _Chart] = {}
    for e in found:
        x = {"label": "training images a class", "log": True}
        chart = made.setdefault(e.key.dataset, _Chart(e.key.dataset, "", e.key.dataset, x))
        _add(chart, e, e.key.shots, flat=e.key.shots == 0)
    return _drawn(made.values())


def _noise(found: Sequence[Entry]) -> list[_Chart]:
    made: dict[tuple[str, str], _Chart] = {}
    for e in clean_everywhere(found):
        key, kind = (e.key.dataset, e.key.noise_type), e.key.noise_type
        chart = made.setdefault(key, _Chart(e.key.dataset, spoken(kind), e.key.dataset, {"label": "wrong labels, %"}))
        _add(chart, e, 100 * e.key.noise_rate, flat=e.key.method in UNTRAINED)
    return _drawn(made.values())


def _noise_xd(found: Sequence[Entry]) -> list[_Chart]:
    made: dict[tuple[str, str, str], _Chart] = {}
    for e in found:
        about = f"trained on {e.key.source}, {spoken(e.key.noise_type)}"
        key = (e.key.source, e.key.noise_type, e.key.dataset)
        chart = made.setdefault(key, _Chart(e.key.dataset, about, e.key.dataset, {"label": "wrong labels, %"}))
        _add(chart, e, 100 * e.key.noise_rate, flat=e.key.method in UNTRAINED)
    return _drawn(made.values())


def _add(chart: _Chart, entry: Entry, x: float, flat: bool) -> None:
    if entry.accuracy:
        chart.lines[entry.key.label][round(x, 6)] = entry.accuracy
        if flat:
            chart.flat.add(entry.key.label)


def _attacks(found: Sequence[Entry]) -> list[_Chart]:
    """Charts over eps, at the most steps, and over steps, at the eps that was attacked with the most numbers of steps.

    Attackers that know the method (white-box or adaptive) and transfer attacks are in separate charts.
    """
    panels: dict[tuple, list[tuple[Entry, float, int]]] = defaultdict(list)
    clean: dict[tuple[str, str], Number] = {}  # of test-time runs; under attack, each entry has its own
    for e in found:
        if match := ATTACK.fullmatch(e.key.attack):
            panel = (e.key.dataset, match["name"] + match["rest"], attacker(e.key.mode))
            panels[panel].append((e, float(match["eps"]), int(match["steps"])))
        elif e.accuracy:
            clean[e.key.dataset, e.key.label] = e.accuracy
    made = []
    for (dataset, name, knows), points in panels.items():
        most = max(steps for _, _, steps in points)
        counts = {eps: len({steps for _, e, steps in points if e == eps}) for _, eps, _ in points}
        usual = max(counts, key=lambda eps: (counts[eps], eps))
        by_eps = _Chart(dataset, f"{name}, {knows}, {most} steps", dataset, {"label": "eps, in 1/255"})
        by_steps = _Chart(dataset, f"{name}, {knows}, eps {usual:g}", dataset, {"label": "steps", "log": True})
        for e, eps, steps in points:
            attacked = e.numbers.get("adv_accuracy")
            if attacked and steps == most:
                by_eps.lines[e.key.label][eps] = attacked
                if start := e.accuracy or clean.get((dataset, e.key.label)):
                    by_eps.lines[e.key.label][0.0] = start
            if attacked and eps == usual:
                by_steps.lines[e.key.label][steps] = attacked
        made += [by_eps, by_steps]
    return _drawn(made)
