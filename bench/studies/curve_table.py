"""A table of what curves over the epochs say of a training under wrong labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tabulate import tabulate

from dassl.utils.spread import shown, words

from ..drawing.training_curves import Curves

HEADERS = [
    "setting", "method", "epoch 1", "epoch 2", "last", "right labels fitted", "wrong labels fitted", "loss, epoch 1",
    "loss, last", "seeds",
]  # fmt: skip
NOTE = (
    "Accuracy in % on the test set after the first, the second and the last epoch that curves.json has; training "
    "images that get their given label after the last one, of those rightly and of those wrongly labelled, in %; mean "
    f"loss of an epoch. ± is {words()}."
)


def curve_table(settings: Mapping[tuple[str, str], Sequence[Curves]], form: str) -> str:
    """settings: {(setting, method): the curves of its runs, with accuracies}. form: as tabulate names it."""
    return tabulate([_row(*key, runs) for key, runs in settings.items()], HEADERS, form, disable_numparse=True)


def _row(setting: str, method: str, runs: Sequence[Curves]) -> list[str]:
    def at(place: int, key: str = "") -> str:
        found = [(run.accuracy.get(key, []) if key else run.loss)[place:][:1] for run in runs]
        return shown([each[0] for each in found]) if all(found) else "-"

    fitted = [at(-1, key) for key in ("noisy_kept", "noisy_flipped")]
    return [setting, method, *(at(k, "test") for k in (0, 1, -1)), *fitted, at(0), at(-1), str(len(runs))]
