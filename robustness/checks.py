"""Sanity checks S1 to S12 of an evaluation under attack, and flags that describe the method (random, dynamic, ...).

After the checks of Carlini et al., "On Evaluating Adversarial Robustness" (2019), and the warnings of AutoAttack (Croce
and Hein, ICML 2020) and RobustBench. Accuracies are in percent. A check passes, fails, or is not run and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

NAMES = {
    "S1": "eps 0 gives the clean answers",
    "S2": "pictures stay in the ball",
    "S3": "more eps or steps is not weaker",
    "S4": "an unbounded attack always succeeds",
    "S5": "noise is the weakest attack",
    "S6": "not weaker than the transfer attack",
    "S7": "more attacks do not help the method",
    "S8": "Square does not beat the gradient",
    "S9": "inputs have gradients",
    "S10": "one step is weaker than twenty",
    "S11": "undefended CLIP falls",
    "S12": "labels matter to the attack",
}
MASKING = ("S4", "S8", "S9")  # the checks that fail if gradients are masked


@dataclass(frozen=True)
class Check:
    """The result of one check. passed: None if it was not run; detail: what was measured, or why it was not run."""

    code: str
    passed: bool | None
    detail: str

    @property
    def name(self) -> str:
        return NAMES[self.code]

    @property
    def verdict(self) -> str:
        return {True: "passed", False: "FAILED", None: "not run"}[self.passed]

    def plain(self) -> dict:
        return {"name": self.name, "verdict": self.verdict, **asdict(self)}


def not_run(code: str, why: str) -> Check:
    """The result of a check that was not run. why: the reason."""
    return Check(code, None, why)


def slack(points: float, images: int) -> float:
    """Tolerance in percentage points: `points`, or one image if that is more."""
    return max(points, 100.0 / max(1, images)) + 1e-9


def clean_path_agrees(ordinary: Tensor, stored: Tensor) -> Check:
    """S1: logits [N, C] of clean images from the test loader equal those of the 8-bit pictures that are attacked."""
    same = bool((ordinary.argmax(1) == stored.argmax(1)).all())
    gap = (ordinary - stored).abs().max().item()
    return Check("S1", same and gap <= 1e-3 * max(1.0, ordinary.abs().max().item()), f"largest gap of logits {gap:.1e}")


def stays_in_ball(levels: Mapping[str, int], eps: float) -> Check:
    """S2: no attack changes a pixel by more than eps. levels: the largest change of each attack, in grey levels."""
    allowed = int(eps + 1e-6)
    detail = ", ".join(f"{name} {value}" for name, value in levels.items())
    return Check("S2", all(value <= allowed for value in levels.values()), f"grey levels: {detail}; allowed {allowed}")


def more_is_not_weaker(by_eps: Mapping[float, float], by_steps: Mapping[int, float], images: int) -> Check:
    """S3: accuracy does not rise with eps ({eps: accuracy}, tolerance 1 point) or steps ({steps: accuracy}, 0.5)."""
    if len(by_eps) < 2 and len(by_steps) < 2:
        return not_run("S3", "there is one eps and one number of steps only")
    falling = True
    for table, points in ((by_eps, 1.0), (by_steps, 0.5)):
        values = [table[k] for k in sorted(table)]
        falling &= all(b <= a + slack(points, images) for a, b in zip(values, values[1:], strict=False))
    parts = [
        f"{name} " + ", ".join(f"{k:g}: {table[k]:.1f}" for k in sorted(table))
        for name, table in (("eps", by_eps), ("steps", by_steps))
        if len(table) > 1
    ]
    return Check("S3", falling, "; ".join(parts))


def unbounded_succeeds(accuracy: float, mode: str, classes: int) -> Check:
    """S4: accuracy at eps 64 or 255 is at most 1 % (white-box), or chance + 2 points (adaptive, a random method)."""
    most = 1.0 if mode == "white-box" else 100.0 / classes + 2.0
    return Check("S4", accuracy <= most + 1e-9, f"accuracy {accuracy:.1f}, at most {most:.1f}")


def noise_is_weakest(noise: float, attacked: float) -> Check:
    """S5: accuracy under random noise is at least that under the attack."""
    return Check("S5", noise >= attacked - 1e-9, f"noise {noise:.1f}, attack {attacked:.1f}")


def not_weaker_than_transfer(own: Tensor, transfer: Tensor, mode: str) -> Check:
    """S6: the attack on the method is not weaker than that on frozen CLIP, but for 0.5 points. [N]: survivors."""
    a, t = (100.0 * flags.double().mean().item() for flags in (own, transfer))
    return Check("S6", a <= t + 0.5 + 1e-9, f"{mode} {a:.1f}, transfer {t:.1f} on the same {len(own)} images")


def more_does_not_help(once: float, more: float, images: int) -> Check:
    """S7: accuracy in the worst case of several random starts is not above that of one start."""
    return Check("S7", more <= once + slack(0.0, images), f"one start {once:.1f}, three {more:.1f}")


def square_does_not_win(square: float, gradient: float, images: int) -> Check:
    """S8: the square attack is not stronger than the gradient attack, but for 0.5 points."""
    passed = square >= gradient - slack(0.5, images)
    return Check("S8", passed, f"Square {square:.1f}, attack {gradient:.1f} on {images} images")


def has_gradients(zero: Tensor) -> Check:
    """S9: at most 1 % of images have a zero gradient at every pixel. zero: [N] whether an image has."""
    percent = 100.0 * zero.double().mean().item()
    return Check("S9", percent <= 1.0, f"{percent:.1f} % of {len(zero)} images without any gradient")


def one_step_is_weaker(fgsm: float, pgd: float, images: int) -> Check:
    """S10: FGSM is not stronger than PGD with 20 steps."""
    return Check("S10", fgsm >= pgd - slack(0.0, images), f"FGSM {fgsm:.1f}, PGD-20 {pgd:.1f}")


def undefended_falls(accuracy: float, eps: float, steps: int) -> Check:
    """S11: frozen CLIP, attacked with eps 4 and 100 steps or more, keeps an accuracy of at most 5 %."""
    if eps < 4 or steps < 100:
        return not_run("S11", f"it needs eps 4 and 100 steps or more, but the attack has eps {eps:g} and {steps} steps")
    return Check("S11", accuracy <= 5.0, f"frozen CLIP keeps {accuracy:.1f}")


def labels_matter(clean: float, real: float, shuffled: float) -> Check:
    """S12: under an attack with shuffled labels, accuracy is higher by a quarter of what the real attack takes."""
    if clean - real < 1:
        return not_run("S12", f"the attack lowers accuracy by under 1 point (clean {clean:.1f}, attacked {real:.1f})")
    passed = shuffled >= real + 0.25 * (clean - real)
    return Check("S12", passed, f"clean {clean:.1f}, attacked {real:.1f}, with shuffled labels {shuffled:.1f}")


# ---------------------------------------------------------------------- flags


def answers_differ(first: Tensor, second: Tensor) -> bool:
    """Whether two computations of logits for the same pictures differ by more than rounding."""
    return not torch.allclose(first, second, rtol=1e-4, atol=1e-4)


def looks_like_probabilities(logits: Tensor) -> bool:
    """Whether outputs [N, C] are probabilities; an attack should be given logits instead."""
    sums = logits.sum(dim=1)
    return bool((logits >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3)


def takes_gradients(ask: Callable[[], object]) -> bool:
    """Whether `ask()`, a forward pass, runs backward passes inside, as in a method that optimises at test time."""
    seen, grad, backward = [], torch.autograd.grad, torch.autograd.backward

    def noted(real):
        return lambda *args, **kwargs: (seen.append(1), real(*args, **kwargs))[1]

    torch.autograd.grad, torch.autograd.backward = noted(grad), noted(backward)
    try:
        ask()
    finally:
        torch.autograd.grad, torch.autograd.backward = grad, backward
    return bool(seen)


FLAGS = ("random", "dynamic", "probabilities", "no gradient", "Square wins")


def flags(random: bool, dynamic: bool, probabilities: bool, checks: list[Check]) -> list[str]:
    """The names of `FLAGS` that hold. random: answers depend on a seed; dynamic: the method optimises at test time."""
    failed = {check.code for check in checks if check.passed is False}
    return [
        name
        for name, holds in zip(FLAGS, (random, dynamic, probabilities, "S9" in failed, "S8" in failed), strict=True)
        if holds
    ]


def label(found: list[str]) -> str:
    """`dynamic+random` and the like, or `static`."""
    return "+".join(name for name in ("dynamic", "random") if name in found) or "static"
