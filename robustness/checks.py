"""Sanity checks S1 to S12 of an evaluation under attack, and the flags that say what kind of method it is of.

After the checks of Carlini et al., "On Evaluating Adversarial Robustness" (2019), and the warnings of AutoAttack (Croce
and Hein, ICML 2020) and RobustBench. Accuracies in percent. A check passes, fails, or was not run, and then says why.
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
MASKING = ("S4", "S8", "S9")  # those that fail where gradients are masked


@dataclass(frozen=True)
class Check:
    """passed is None where the check was not run; detail says what was measured, or why it was not."""

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
    return Check(code, None, why)


def slack(points: float, images: int) -> float:
    """Tolerance in points: of few images, one may differ."""
    return max(points, 100.0 / max(1, images)) + 1e-9


def clean_path_agrees(ordinary: Tensor, stored: Tensor) -> Check:
    """S1. Logits [N, C] of clean images, by the test loader and as 8-bit pictures on the attack's path."""
    same = bool((ordinary.argmax(1) == stored.argmax(1)).all())
    gap = (ordinary - stored).abs().max().item()
    return Check("S1", same and gap <= 1e-3 * max(1.0, ordinary.abs().max().item()), f"largest gap of logits {gap:.1e}")


def stays_in_ball(levels: Mapping[str, int], eps: float) -> Check:
    """S2. levels: the largest change in grey levels that each kind of pictures has."""
    allowed = int(eps + 1e-6)
    detail = ", ".join(f"{name} {value}" for name, value in levels.items())
    return Check("S2", all(value <= allowed for value in levels.values()), f"grey levels: {detail}; allowed {allowed}")


def more_is_not_weaker(by_eps: Mapping[float, float], by_steps: Mapping[int, float], images: int) -> Check:
    """S3. {eps: accuracy} and {steps: accuracy} of one attack; 1 and 0.5 points of tolerance."""
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
    """S4. Accuracy at eps 64, or 255: at most 1 %; of a method that draws below chance + 2 points."""
    most = 1.0 if mode == "white-box" else 100.0 / classes + 2.0
    return Check("S4", accuracy <= most + 1e-9, f"accuracy {accuracy:.1f}, at most {most:.1f}")


def noise_is_weakest(noise: float, attacked: float) -> Check:
    """S5."""
    return Check("S5", noise >= attacked - 1e-9, f"noise {noise:.1f}, attack {attacked:.1f}")


def not_weaker_than_transfer(own: Tensor, transfer: Tensor, mode: str) -> Check:
    """S6. [N] each: images that survive the attack on the method itself, and the one on frozen CLIP; 0.5 points."""
    a, t = (100.0 * flags.double().mean().item() for flags in (own, transfer))
    return Check("S6", a <= t + 0.5 + 1e-9, f"{mode} {a:.1f}, transfer {t:.1f} on the same {len(own)} images")


def more_does_not_help(once: float, more: float, images: int) -> Check:
    """S7. Accuracy under one start, and the worst case of several."""
    return Check("S7", more <= once + slack(0.0, images), f"one start {once:.1f}, three {more:.1f}")


def square_does_not_win(square: float, gradient: float, images: int) -> Check:
    """S8."""
    passed = square >= gradient - slack(0.5, images)
    return Check("S8", passed, f"Square {square:.1f}, attack {gradient:.1f} on {images} images")


def has_gradients(zero: Tensor) -> Check:
    """S9. [N] images whose gradient is 0 everywhere; at most 1 %."""
    percent = 100.0 * zero.double().mean().item()
    return Check("S9", percent <= 1.0, f"{percent:.1f} % of {len(zero)} images without any gradient")


def one_step_is_weaker(fgsm: float, pgd: float, images: int) -> Check:
    """S10."""
    return Check("S10", fgsm >= pgd - slack(0.0, images), f"FGSM {fgsm:.1f}, PGD-20 {pgd:.1f}")


def undefended_falls(accuracy: float, eps: float, steps: int) -> Check:
    """S11. Frozen CLIP, attacked itself, at eps 4 and 100 steps or more: close to 0, here at most 5 %."""
    if eps < 4 or steps < 100:
        return not_run("S11", f"it is about eps 4 and 100 steps, and this is eps {eps:g} and {steps}")
    return Check("S11", accuracy <= 5.0, f"frozen CLIP keeps {accuracy:.1f}")


def labels_matter(clean: float, real: float, shuffled: float) -> Check:
    """S12. An attack on wrong labels keeps at least a quarter of what the real one takes."""
    if clean - real < 1:
        return not_run("S12", f"the attack takes nothing (clean {clean:.1f}, attacked {real:.1f})")
    passed = shuffled >= real + 0.25 * (clean - real)
    return Check("S12", passed, f"clean {clean:.1f}, attacked {real:.1f}, with shuffled labels {shuffled:.1f}")


# ---------------------------------------------------------------------- flags


def answers_differ(first: Tensor, second: Tensor) -> bool:
    return not torch.allclose(first, second, rtol=1e-4, atol=1e-4)


def looks_like_probabilities(logits: Tensor) -> bool:
    """Whether [N, C] outputs are a softmax, of which an attack should get the logits."""
    sums = logits.sum(dim=1)
    return bool((logits >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3)


def takes_gradients(ask: Callable[[], object]) -> bool:
    """Whether `ask()`, a forward pass, runs backward passes inside: a method that optimises while it answers."""
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
    """Those of `FLAGS` that hold. dynamic: it optimises while it answers."""
    failed = {check.code for check in checks if check.passed is False}
    return [
        name
        for name, holds in zip(FLAGS, (random, dynamic, probabilities, "S9" in failed, "S8" in failed), strict=True)
        if holds
    ]


def label(found: list[str]) -> str:
    """`dynamic+random` and the like, or `static`."""
    return "+".join(name for name in ("dynamic", "random") if name in found) or "static"
