"""`evaluate`: a run under attack, as `python -m robustness` does it, with the same folder and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dassl.utils import InputError, read_json
from dassl.utils.memory import keep_freed_memory
from robustness.run import Options, main
from runs.arguments import Settings, last_epoch
from runs.config_names import UNTRAINED
from runs.options import parse
from runs.protocols import few_shot_folder
from runs.robust_protocol import default_mode, robust, take_attack
from runs.settled import check_pairs

from .inside import in_checkout, seen_from_checkout
from .trained import Run

WORST = "worst case"


@dataclass(frozen=True)
class Attacked:
    """The result of an evaluation under attack. All accuracies are in percent of all its images.

    clean: on the pictures as they are. attacked: {name of the attack: accuracy on its pictures}; "transfer" attacks
    frozen CLIP, "white-box" and "adaptive" the method itself. robust: right on the clean picture and under every
    attack. interval: of `robust`, 95 %. record: all of results.json.
    """

    folder: Path
    clean: float
    attacked: dict[str, float]
    robust: float
    interval: tuple[float, float]
    images: int
    record: dict[str, Any]

    def __repr__(self) -> str:
        low, high = self.interval
        where = f"{self.record['trainer']}, {self.record['attack']}, {self.images} images"
        return f"<Attacked {where}: clean {self.clean:.1f} %, robust {self.robust:.1f} % ({low:.1f} .. {high:.1f})>"


def evaluate(
    run: Run,
    attack: str = "pgd",
    eps: float = 4.0,
    *,
    steps: int = 100,
    images: int = 0,
    mode: str = "",
    config: dict[str, object] | None = None,
    checks: str = "basic",
    log: bool = False,
) -> Attacked:
    """Attack a run's method on the test images. A finished evaluation is not repeated.

    attack: a name, or several with commas, of docs/adversarial.md: the worst case counts. eps: the largest change of a
    pixel, in 1/255 of the range. steps: of the attack. images: how many of the test set, drawn class by class; 0: all.
    mode: T (pictures attacked on frozen CLIP), W (white-box) or A (adaptive, for methods that adapt to each image);
    default: the strongest one for the method. config: further config keys, {"ATTACK.ALPHA": 1}. checks: basic or all.

    Raises InputError for an attack, number or mode that is not known or does not fit the method.
    """
    if not isinstance(run, Run):
        raise InputError(f"run is a {type(run).__name__}, but must be what rp.train, rp.zero_shot or rp.load returned.")
    words = [str(eps), str(steps), mode or default_mode(run.method), "ATTACK.NAME", str(attack)]
    words += ["ATTACK.SUBSET", str(images)] if images else []
    words += [str(word) for pair in (config or {}).items() for word in pair]
    keep_freed_memory()
    with in_checkout(log):
        check_pairs("robust", words, "output")
        arguments = arguments_of(run, words)
        main(parse(arguments), Options(checks))
        folder = Path(arguments[arguments.index("--output-dir") + 1]).absolute()
    record = read_json(folder / "results.json")
    figures = record["figures"]
    accuracies = {name: found["accuracy"] for name, found in figures.items()}
    clean, worst = accuracies.pop("clean"), accuracies.pop(WORST)
    low, high = figures[WORST]["interval"]
    return Attacked(folder, clean, accuracies, worst, (low, high), record["images"], record)


def arguments_of(run: Run, words: list[str]) -> list[str]:
    """The arguments of `python -m robustness`. words: EPS STEPS MODE and config pairs. Of a few-shot run they are those
    of scripts/adv/eval.sh, and the results lie where it writes them; of another run, in its folder below `attacked/`.

    The config is the run's own config.yaml, which has all that it was trained with.
    """
    folder = seen_from_checkout(run.folder, "folder")
    root, target = str(run.record["config"]["DATASET"]["ROOT"]), (run.record.get("cell") or {}).get("target")
    untrained = run.method in UNTRAINED
    shots = 16 if untrained else max(1, int(run.record["shots"]))
    cfg = str(run.record.get("cfg") or "")
    if target and run.record.get("protocol") == "few_shot":
        settings = Settings(root, cfg, shots, str(Path(folder).parents[5]), pairs=tuple(words))
        if str(few_shot_folder(run.method, target, run.seed, settings)) == folder:
            found = robust(run.method, target, run.seed, settings)
            found[found.index("--config-file") + 1] = f"{folder}/config.yaml"
            return found
    title, pairs, own = take_attack(run.method, Settings(root, cfg, shots, pairs=tuple(words)))
    tested = [] if untrained else ["--model-dir", folder, "--load-epoch", last_epoch(Path(folder))]
    return [
        "--root", root, "--seed", str(run.seed), "--trainer", run.method, "--config-file", f"{folder}/config.yaml",
        "--output-dir", f"{folder}/attacked/{title}", "--eval-only", *tested, *pairs, *own.pairs,
    ]  # fmt: skip
