"""Folders of finished runs without running any: the files that real runs leave, with numbers that a test chooses."""

from __future__ import annotations

import json
import random
from pathlib import Path

COMMIT = "078442a1f2037d5584c39601a773beb69272d2da"
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
VERSIONS = {"python": "3.11.7", "torch": "2.11.0+cu130", "torchvision": "0.26.0", "numpy": "2.2.6"}
CHANCE = 10.0


class Samples:
    """Writes runs under `root`, in the layout of runs/protocols.py. Extra keys go into results.json."""

    def __init__(self, root: Path, cfg: str = "embedded", shots: int = 16) -> None:
        self.root, self.cfg, self.shots = root, cfg, shots

    def base2new(self, method: str, dataset: str, seed: int, base: float, new: float, **extra) -> None:
        for part, half, accuracy in (("train_base", "base", base), ("test_new", "new", new)):
            below = f"base2new/{part}/{dataset}/shots_{self.shots}/{method}/{self.cfg}/seed{seed}"
            folder = self._tested(below, method, dataset, seed, accuracy, {"subsample_classes": half} | extra)
            if half == "base" and not method.startswith("Zeroshot"):
                self._log(folder, epochs=8)

    def source(self, method: str, source: str, seed: int, accuracy: float) -> None:
        below = f"{source}/{method}/{self.cfg}_{self.shots}shots/seed{seed}"
        self._log(self._tested(below, method, source, seed, accuracy), epochs=8)

    def target(self, method: str, source: str, target: str, seed: int, accuracy: float) -> None:
        below = f"evaluation_{source}/{method}/{self.cfg}_{self.shots}shots/{target}/seed{seed}"
        self._tested(below, method, target, seed, accuracy)

    def few_shot(self, method: str, dataset: str, shots: int, seed: int, accuracy: float, **extra) -> None:
        """shots 0: without training."""
        below = f"few_shot/{dataset}/shots_{shots}/{method}/{self.cfg}/seed{seed}"
        folder = self._tested(below, method, dataset, seed, accuracy, {"shots": shots} | extra)
        if shots:
            self._log(folder, epochs=10)

    def noise(
        self, method: str, dataset: str, kind: str, rate: float, seed: int, accuracy: float,
        classes: list[str] = DIGITS, manifest: str | None = None, variant: str = "", curves: int = 20,
    ) -> Path:  # fmt: skip
        below = f"noise/{dataset}/{kind}_r{round(1000 * rate):04d}/shots_{self.shots}/{method}/{self.cfg}/seed{seed}"
        below = f"variants/{variant}/{below}" if variant else below
        noise = {"type": kind, "rate": rate, "seed": seed, "sha256": manifest or f"{dataset}{kind}{rate}{seed}"}
        folder = self._tested(below, method, dataset, seed, accuracy, {"noise": noise})
        self.confusion(folder, classes, accuracy)
        if curves:
            self._log(folder, epochs=10)
            self._curves(folder, curves, accuracy, rate)
            self._decisions(folder, 16 * len(classes))
        return folder

    def noise_xd(self, method: str, source: str, tested: str, rate: float, seed: int, accuracy: float) -> None:
        where = f"noise_xd/{source}/sym_other_r{round(1000 * rate):04d}/{tested}"
        self._tested(f"{where}/{method}/{self.cfg}_{self.shots}shots/seed{seed}", method, tested, seed, accuracy)

    def test_time(self, method: str, dataset: str, attack: str, seed: int, accuracy: float) -> None:
        below = f"test_time/{dataset}/{attack}/{method}/{self.cfg}/seed{seed}"
        self._tested(below, method, dataset, seed, accuracy)

    def robust(
        self, method: str, dataset: str, mode: str, attack: str, seed: int, clean: float, attacked: float,
        transfer: float, failed: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        below = f"robust/{dataset}/{mode}-{attack}/shots_{self.shots}/{method}/{self.cfg}/seed{seed}"
        figures = {"clean": clean, "transfer": transfer, mode: attacked, "worst case": min(attacked, transfer)}
        record = {
            "version": 1, "kind": "evaluation under attack", "trainer": method, "dataset": dataset.capitalize(),
            "seed": seed, "mode": mode, "attack": attack, "images": 200, "failed_checks": list(failed),
            "figures": {kind: {"accuracy": value, "images": 200} for kind, value in figures.items()},
            "settings_hash": f"{method}{mode}{attack}{seed}", "versions": VERSIONS, "git": COMMIT,
            "finished": "2026-11-24T18:44:34+0000",
        }  # fmt: skip
        self._files(below, record)

    def confusion(self, folder: Path, classes: list[str], accuracy: float, images: int = 100) -> None:
        """confusion.json as a run's own test leaves it."""
        draw, counts = self._draw(folder), []
        for i in range(len(classes)):
            row = [0] * len(classes)
            row[i] = round(images * accuracy / 100)
            while sum(row) < images:
                row[draw.randrange(len(classes))] += 1
            counts.append(row)
        (folder / "confusion.json").write_text(json.dumps({"classnames": classes, "counts": counts}))

    def _draw(self, folder: Path) -> random.Random:
        return random.Random(folder.relative_to(self.root).as_posix())  # the same wherever the root is

    def _tested(
        self, below: str, method: str, dataset: str, seed: int, accuracy: float, extra: dict | None = None
    ) -> Path:
        record = {
            "version": 1, "trainer": method, "dataset": dataset.capitalize(), "seed": seed, "mode": "train",
            "subsample_classes": "all", "shots": self.shots,
            "backbone": {"name": "Embedded", "sha256": "be41db8a000a0bb9"},
            "results": {"total": 1000, "correct": round(10 * accuracy), "accuracy": accuracy, "macro_f1": accuracy - 1},
            "noise": None, "adversarial": None, "settings_hash": f"{below}", "device": "cpu", "precision": "fp32",
            "versions": VERSIONS, "git": COMMIT, "wall_seconds": 31.0 + seed, "peak_memory_bytes": 937742336,
            "finished": f"2026-11-24T20:0{seed % 10}:31+0000",
        }  # fmt: skip
        return self._files(below, record | (extra or {}))

    def _files(self, below: str, record: dict) -> Path:
        folder = self.root / below
        folder.mkdir(parents=True)
        (folder / "log.txt").write_text("Setting fixed seed\n* accuracy\n")
        (folder / "config.yaml").write_text('# settings: {"MODEL.BACKBONE.NAME": "Embedded"}\nSEED: 1\n')
        (folder / "results.json").write_text(json.dumps(record))
        return folder

    def _log(self, folder: Path, epochs: int) -> None:
        draw, lines = self._draw(folder), []
        for epoch in range(1, epochs + 1):
            loss = 2.0 / epoch**0.5 + 0.1 * draw.random()
            lines += [
                f"epoch [{epoch}/{epochs}] batch [{b}/2] time 0.067 (0.067) data 0.009 (0.009) loss {9.0:.4f} "
                f"({loss:.4f}) acc 75.0000 (75.0000) loss_ce 1.0000 (7.0000) lr 8.8564e-05 eta 0:00:00"
                for b in (1, 2)
            ]
        (folder / "log.txt").write_text("\n".join(lines) + "\n")

    def _curves(self, folder: Path, epochs: int, accuracy: float, rate: float) -> None:
        draw = self._draw(folder)

        def rising(end: float, late: float = 0.0) -> list[float]:
            share = [
                min(1.0, max(0.0, (e - late * epochs) / (epochs * (1 - late)))) ** 0.5 for e in range(1, epochs + 1)
            ]
            return [round(CHANCE + (end - CHANCE) * s + draw.uniform(-1, 1), 2) for s in share]

        wrong = [None] * epochs
        curves = {
            "epochs": list(range(1, epochs + 1)), "test": rising(accuracy),
            "train_loss": [2.2 / e**0.4 + draw.random() / 10 for e in range(1, epochs + 1)],
            "noisy_flipped": rising(45, 0.3) if rate else wrong, "noisy_kept": rising(95),
            "true_flipped": rising(70) if rate else wrong, "true_kept": rising(95),
        }  # fmt: skip
        (folder / "curves.json").write_text(json.dumps(curves))

    def _decisions(self, folder: Path, items: int) -> None:
        draw = self._draw(folder)
        score = [draw.random() for _ in range(items)]
        found = {"epoch": 20, "clean": [int(s > 0.5) for s in score], "score": score}
        (folder / "decisions.json").write_text(json.dumps(found))


def write_everything(root: Path, datasets: tuple[str, ...] = ("digits", "textures", "letters")) -> Samples:
    """Runs of every protocol: three seeds, and one where nothing is trained."""
    made, draw = Samples(root), random.Random(0)
    level = {"ZeroshotCLIP": 66.0, "CoOp": 72.0, "KgCoOp": 71.0, "PromptSRC": 80.0, "MMRL": 81.0, "ANPrompt": 82.5}

    def near(value: float) -> float:
        return round(value + draw.gauss(0, 0.9), 2)

    for method, at in level.items():
        for seed in (1,) if method == "ZeroshotCLIP" else (1, 2, 3):
            for k, dataset in enumerate(datasets):
                made.base2new(method, dataset, seed, near(at + 4 - 3 * k), near(at - 6 + 2 * k))
            made.source(method, "shapes", seed, near(at))
            for k, target in enumerate((*datasets, "shapes_sketch", "shapes_inverted")):
                made.target(method, "shapes", target, seed, near(at - 12 + k))
            for dataset in datasets[:2]:
                for shots in (0,) if method == "ZeroshotCLIP" else (1, 2, 4, 8, 16):
                    made.few_shot(method, dataset, shots, seed, near(66 + (at - 66) * shots**0.5 / 4))
    fall = {"ZeroshotCLIP": 0.0, "CoOp": 34.0, "JoAPR": 14.0, "NLPrompt": 9.0, "VisPrompt": 12.0}
    for method, loss in fall.items():
        untrained = method == "ZeroshotCLIP"
        for seed in (1,) if untrained else (1, 2, 3):
            for dataset in datasets[:2]:
                for rate in (0.0,) if untrained else (0.0, 0.25, 0.5, 0.75):
                    at = 66 if untrained else near(78 - loss * rate**1.5)
                    made.noise(method, dataset, "sym_other", rate, seed, at, curves=0 if untrained else 20)
            for rate in () if untrained else (0.25, 0.5):
                for tested in ("shapes", *datasets[:2]):
                    made.noise_xd(method, "shapes", tested, rate, seed, near(62 - loss * rate))
    for rate in (0.25, 0.5):
        made.noise("PTNL", "digits", "sym_other", rate, 1, near(76 - 14 * rate), variant="PTNL-GCE")
    for method, at in {"ZeroshotCLIP": 4.0, "TPT": 12.0, "RTPT": 31.0}.items():
        made.test_time(method, "digits", "clean", 1, near(72))
        for eps in (1, 2, 4):
            made.test_time(method, "digits", f"pgd-eps{eps}-100", 1, near(at + 40 / eps))
    for method, mode, at in (("CoOp", "white-box", 3.0), ("RTPT", "adaptive", 9.0)):
        for eps, steps in ((1, 100), (2, 100), (4, 100), (4, 5), (4, 20)):
            failed = ("S6",) if (method, eps, steps) == ("RTPT", 4, 5) else ()
            attacked = max(0.0, near(at + 44 / eps - steps / 30))
            made.robust(method, "digits", mode, f"pgd-eps{eps}-{steps}", 1, near(75), attacked, attacked + 6, failed)
    return made
