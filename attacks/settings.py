"""The config keys ATTACK.*: their defaults, their domains, and the attack that they describe as one value."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from fractions import Fraction
from importlib import metadata

from yacs.config import CfgNode

from dassl.config import add_keys
from dassl.config.domains import FILLED, FLAG, NOT_NEGATIVE, OPTIONAL, SEED, Domain, check_config, choice, whole
from dassl.utils import InputError

from .quantise import RULES

A = "ATTACK."
CONFIG_DEFAULTS = {
    A + "NAME": "pgd",  # one of NAMES, or several with commas: the worst case per image
    A + "PRESET": "",  # one of PRESETS: sets EPS, ALPHA and STEPS, and some NAME and KEEP too
    A + "MODE": "T",  # T: against frozen CLIP of the run's backbone | X: of another one | W, A: the evaluated method
    A + "SURROGATE": "",  # the backbone under attack; empty: the run's
    A + "PROMPT": "a photo of a {}.",
    A + "CLASSNAMES_SOURCE": "coop",
    A + "EPS": 4.0,  # in 1/255
    A + "ALPHA": 0.0,  # step size in 1/255; 0: eps/4
    A + "STEPS": 100,
    A + "RANDOM_START": True,
    A + "RESTARTS": 1,
    A + "KEEP": "best_loss",  # best_loss | last
    A + "KAPPA": 0.0,  # of cw: by how much the label's logit is to fall below the largest other one
    A + "ONLY_CORRECT": False,  # leave misclassified images as they are; always so for aa
    A + "PREC": "fp32",
    A + "BATCH": 64,
    A + "SEED": 0,
    A + "QUANT": "round_project",  # round_project | trunc | none (never stored)
    A + "SUBSET": 0,  # number of images, drawn class by class; 0: all
    A + "EOT.DRAWS": 4,
    A + "EOT.VIEWS": 8,
    A + "EOT.STEP_GRAD": "both",  # stop | unroll | both
    A + "EOT.BPDA": True,
    A + "EOT.LOSS": "ce",  # ce | dlr | both
    A + "EOT.KNOWN_DRAWS": False,  # also attack the views that the defence will draw, which a real attacker cannot know
    A + "SQUARE.QUERIES": 5000,
    A + "TARGETS": 9,  # classes that targeted attacks aim at
    A + "PACKAGE": "torchattacks",  # of AutoAttack's parts: torchattacks | autoattack, its authors' own
    A + "STORE": "raw",  # raw | png
    A + "DIR": "",  # folder of adversarial sets; empty: <data root>/adv
}
# The tests of R-TPT (its RN50, and ViT as in later work), TTC, APT at both eps, FAP, and AdvPT (features, no labels).
PRESETS: dict[str, dict[str, float | int | str]] = {
    "rtpt-rn50": {"EPS": 1.0, "ALPHA": 0.25, "STEPS": 7},
    "vit": {"EPS": 4.0, "ALPHA": 1.0, "STEPS": 100},
    "ttc": {"EPS": 1.0, "ALPHA": 1.0, "STEPS": 10},
    "apt1": {"EPS": 1.0, "ALPHA": 0.25, "STEPS": 100, "KEEP": "last"},
    "apt4": {"EPS": 4.0, "ALPHA": 1.0, "STEPS": 100, "KEEP": "last"},
    "fap": {"EPS": 1.0, "ALPHA": 1.0, "STEPS": 100, "KEEP": "last"},
    "advpt": {"NAME": "feature", "EPS": 16.0, "STEPS": 40},
}
LEVELS = Domain("number", least=0, most=255, words="a number from 0 to 255 (in 1/255 of the range)")
CONFIG_DOMAINS = {
    A + "NAME": FILLED,  # see `_names`
    A + "PRESET": choice("", *PRESETS),
    A + "MODE": choice("T", "W", "A", "X"),
    A + "SURROGATE": OPTIONAL,
    A + "PROMPT": FILLED,
    A + "CLASSNAMES_SOURCE": choice("coop"),
    A + "EPS": LEVELS,
    A + "ALPHA": LEVELS,
    A + "STEPS": whole(1),
    A + "RANDOM_START": FLAG,
    A + "RESTARTS": whole(1),
    A + "KEEP": choice("best_loss", "last"),
    A + "KAPPA": NOT_NEGATIVE,
    A + "ONLY_CORRECT": FLAG,
    A + "PREC": choice("fp32"),
    A + "BATCH": whole(1),
    A + "SEED": SEED,
    A + "QUANT": choice(*RULES),
    A + "SUBSET": whole(0),
    A + "EOT.DRAWS": whole(1),
    A + "EOT.VIEWS": whole(1),
    A + "EOT.STEP_GRAD": choice("stop", "unroll", "both"),
    A + "EOT.BPDA": FLAG,
    A + "EOT.LOSS": choice("ce", "dlr", "both"),
    A + "EOT.KNOWN_DRAWS": FLAG,
    A + "SQUARE.QUERIES": whole(1),
    A + "TARGETS": whole(1),
    A + "PACKAGE": choice("torchattacks", "autoattack"),
    A + "STORE": choice("raw", "png"),
    A + "DIR": OPTIONAL,
}
AUTOATTACK = ("apgd-ce", "apgd-dlr-t", "fab-t", "square")  # each attacks the images that are still correct
PARTS = (*AUTOATTACK, "apgd-dlr")  # what ATTACK.PACKAGE is for
# The settings that each attack depends on. No other key of ATTACK.* changes its pictures.
PARAMETERS = {
    "none": (),
    "noise": ("eps", "restarts"),
    "fgsm": ("eps",),
    "pgd": ("eps", "alpha", "steps", "random_start", "restarts", "keep"),
    "eot-pgd": ("eps", "alpha", "steps", "random_start", "restarts", "keep", "draws"),
    "cw": ("eps", "alpha", "steps", "kappa", "restarts", "keep"),
    "tpgd": ("eps", "alpha", "steps", "restarts", "keep"),
    "feature": ("eps", "steps"),
    "apgd-ce": ("eps", "steps", "restarts"),
    "apgd-dlr": ("eps", "steps", "restarts"),
    "apgd-dlr-t": ("eps", "steps", "restarts", "targets"),
    "fab-t": ("eps", "steps", "restarts", "targets"),
    "square": ("eps", "queries", "restarts"),
    "cw-l2": ("steps",),
    "di": ("eps", "alpha", "steps"),
}
# implemented here; the others come from torchattacks, AutoAttack's parts where PACKAGE says so from its authors
OWN = ("none", "noise", "fgsm", "pgd", "eot-pgd", "cw", "tpgd", "feature")
NAMES = (*PARAMETERS, "aa")
LEAST_CLASSES = {"apgd-dlr": 3, "apgd-dlr-t": 4, "aa": 4}


def add_attack_defaults(cfg: CfgNode) -> None:
    """Adds the config keys of `CONFIG_DEFAULTS`."""
    add_keys(cfg, CONFIG_DEFAULTS)


@dataclass(frozen=True)
class AttackSettings:
    """The settings of one attack, or of several whose worst case is taken for each image. eps and alpha in 1/255."""

    names: tuple[str, ...] = ("pgd",)
    eps: float = 4.0
    alpha: float = 1.0
    steps: int = 100
    random_start: bool = True
    restarts: int = 1
    keep: str = "best_loss"
    kappa: float = 0.0
    only_correct: bool = False
    draws: int = 4
    queries: int = 5000
    targets: int = 9
    package: str = "torchattacks"
    seed: int = 0
    batch: int = 64
    quant: str = "round_project"

    @classmethod
    def from_cfg(cls, cfg: CfgNode, classes: int) -> AttackSettings:
        """The attack of `cfg.ATTACK` on a model of `classes` classes. InputError for settings that do not fit."""
        node = cfg.ATTACK
        check_config(cfg, CONFIG_DOMAINS)
        chosen = _chosen(node)
        wanted = [name.strip() for name in str(chosen["NAME"]).split(",")]
        names = _names(wanted)
        eps, alpha, steps = _sizes(chosen)
        if eps == 0:
            names = tuple(name for name in names if name == "cw-l2") or ("none",)
        for name in wanted if names != ("none",) else ():
            if classes < LEAST_CLASSES.get(name, 2):
                raise InputError(
                    f"{A}NAME {name} needs at least {LEAST_CLASSES.get(name, 2)} classes, but there are {classes}; "
                    "take apgd-ce, pgd or square."
                )
        return cls(
            names=names, eps=eps, alpha=alpha, steps=steps, random_start=node.RANDOM_START, restarts=node.RESTARTS,
            keep=str(chosen["KEEP"]), kappa=node.KAPPA, package=node.PACKAGE,
            only_correct=node.ONLY_CORRECT or "aa" in wanted, draws=node.EOT.DRAWS,
            queries=node.SQUARE.QUERIES, targets=node.TARGETS, seed=node.SEED, batch=node.BATCH, quant=node.QUANT,
        )  # fmt: skip

    def parameters(self) -> list[dict]:
        """One dict per attack: name and the settings it depends on; eps and alpha as exact fractions of the range."""
        found = []
        for name in self.names:
            values = {key: getattr(self, key) for key in PARAMETERS[name]}
            for key in {"eps", "alpha"} & set(values):
                values[key] = fraction(values[key])
            if name not in OWN:
                values |= {"package": package_of(name, self.package), "batch": self.batch}
            found.append({"name": name, **values})
        return found

    @property
    def title(self) -> str:
        """A short name for file names and tables, such as pgd-eps4-100."""
        name = "aa" if self.names == AUTOATTACK else "+".join(self.names)
        used = {key for n in self.names for key in PARAMETERS[n]}
        return name + (f"-eps{self.eps:g}" if "eps" in used else "") + (f"-{self.steps}" if "steps" in used else "")


def package_of(name: str, package: str) -> str:
    """The package, with its version, that an attack comes from. package: that of AutoAttack's parts."""
    if package == "torchattacks" or name not in PARTS:
        return "torchattacks 3.5.1"
    try:
        return f"autoattack {metadata.version('autoattack')}"
    except metadata.PackageNotFoundError:
        return "autoattack"


def fraction(levels: float) -> str:
    """Grey levels as an exact fraction of [0, 1]: 1.0 -> "1/255"."""
    exact = Fraction(str(levels))
    return f"{exact.numerator}/{255 * exact.denominator}"


def _names(wanted: list[str]) -> tuple[str, ...]:
    found: list[str] = []
    for name in wanted:
        if name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, n=3, cutoff=0.4)
            hint = f"nearest: {', '.join(near)}" if near else f"there are {', '.join(NAMES)}"
            raise InputError(f"{A}NAME: there is no attack {name!r}; {hint}.")
        found += AUTOATTACK if name == "aa" else (name,)
    return tuple(dict.fromkeys(found))


def _chosen(node: CfgNode) -> dict[str, float | int | str]:
    """{key: value} of NAME, EPS, ALPHA, STEPS and KEEP after PRESET. InputError where one was set to something else."""
    chosen = {key: node[key] for key in ("NAME", "EPS", "ALPHA", "STEPS", "KEEP")}
    for key, value in PRESETS.get(node.PRESET, {}).items():
        if node[key] not in (CONFIG_DEFAULTS[A + key], value):
            said = f"{value:g}" if isinstance(value, float) else value
            raise InputError(f"{A}PRESET {node.PRESET} has {key} {said}, but {A}{key} is {node[key]}; leave one out.")
        chosen[key] = value
    return chosen


def _sizes(chosen: dict[str, float | int | str]) -> tuple[float, float, int]:
    """eps, alpha, steps."""
    eps, alpha, steps = float(chosen["EPS"]), float(chosen["ALPHA"]), int(chosen["STEPS"])
    alpha = alpha or eps / 4
    if not 0 <= alpha <= 2 * eps:
        raise InputError(
            f"{A}ALPHA is {alpha:g}, but must be above 0 and at most twice {A}EPS ({eps:g}): a longer step would leave "
            "the ball from every point of it."
        )
    return eps, alpha, steps
