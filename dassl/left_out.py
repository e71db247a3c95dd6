"""The parts of upstream Dassl that this engine leaves out: importing one gives a clear message (an ImportError).

Domain adaptation, domain generalisation and semi-supervised learning have trainers, datasets and layers of their own
upstream, which no method of this field uses.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import ModuleType

ROOT = __name__.rpartition(".")[0]
ADAPTATION = ("the trainers of domain adaptation", "MCD MME ADDA CDAC DAEL DANN AdaBN M3SDA SourceOnly SelfEnsembling")
GENERALISATION = ("the trainers of domain generalisation", "DDAIG DAELDG Vanilla CrossGrad DomainMix")
SEMI_SUPERVISED = ("the semi-supervised trainers", "EntMin FixMatch MixMatch MeanTeacher SupBaseline")
# module below `dassl`: (what it is, the names that it has)
MODULES = {
    "engine.da": ADAPTATION,
    "engine.dg": GENERALISATION,
    "engine.ssl": SEMI_SUPERVISED,
    "data.datasets.da": ("the datasets of domain adaptation", ""),
    "data.datasets.dg": ("the datasets of domain generalisation", ""),
    "data.datasets.ssl": ("the semi-supervised datasets", ""),
    "modeling.ops.mixstyle": ("MixStyle", "MixStyle"),
    "modeling.ops.efdmix": ("EFDMix", "EFDMix"),
    "modeling.ops.dsbn": ("domain-specific batch norm", "DSBN1d DSBN2d"),
    "modeling.ops.transnorm": ("TransNorm", "TransNorm1d TransNorm2d"),
    "modeling.ops.mmd": ("maximum mean discrepancy", "MaximumMeanDiscrepancy"),
    "modeling.ops.optimal_transport": ("Sinkhorn divergences", "SinkhornDivergence MinibatchEnergyDistance"),
    "modeling.network.ddaig_fcn": ("the image generators of DDAIG", ""),
}
# Names that are missing in a module that exists here.
NAMES = {"data.transforms.randaugment": ("the other kinds of RandAugment", "RandAugment2 RandAugmentFixMatch")}
FOUND_IN = {f"{ROOT}.{module}": names.split() for module, (_, names) in (MODULES | NAMES).items()}


def sentence(module: str, name: str = "") -> str:
    """The error message for a module of MODULES, given by its full name, or for `name` in a module of NAMES."""
    what = (MODULES | NAMES)[module.removeprefix(f"{ROOT}.")][0]
    asked = f"{name} of {module}" if name else module
    return f"{asked} is not here: this engine leaves out {what} of Dassl; a method that needs it runs on Dassl itself"


class Finder:
    """Import hook for `sys.meta_path`: raises ImportError where one of MODULES is imported."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        if name.startswith(ROOT) and name.removeprefix(f"{ROOT}.") in MODULES:
            raise ImportError(sentence(name), name=name)


def say_what_is_left_out() -> None:
    """Install `Finder`; called when the engine is imported."""
    if Finder not in sys.meta_path:
        sys.meta_path.insert(0, Finder)


def names_left_out(package: str) -> Callable[[str], object]:
    """The `__getattr__` of a package: ImportError for names that only upstream has there (`dassl.engine.FixMatch`)."""
    homes = {name: home for home, names in FOUND_IN.items() if f"{home}.".startswith(f"{package}.") for name in names}

    def __getattr__(name: str) -> object:
        if name in homes:
            raise ImportError(sentence(homes[name], name), name=homes[name])
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return __getattr__
