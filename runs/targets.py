"""Groups of datasets: the meaning of `all` and `embedded`, and the datasets on which a source's models are tested."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from dassl.utils import InputError
from interop.plugins.names import label_of, plain
from interop.plugins.places import config_of

from .config_names import EMBEDDED

ROOT = Path(__file__).resolve().parent.parent

ELEVEN = (
    "imagenet", "caltech101", "oxford_pets", "stanford_cars", "oxford_flowers", "food101",
    "fgvc_aircraft", "sun397", "dtd", "eurosat", "ucf101",
)  # fmt: skip
EMBEDDED_SETS = ("digits", "shapes", "textures", "letters", "objects")  # embedded datasets with training images

# {source: datasets with other classes}, {source: its shifted variants}
TARGETS = {"imagenet": ELEVEN[1:], "shapes": ("digits", "textures", "letters", "objects")}
SHIFTS = {
    "imagenet": ("imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r"),
    "shapes": ("shapes_sketch", "shapes_clutter", "shapes_inverted"),
}


def dataset_config(name: str, plugins: Iterable[str] = ()) -> Path:
    """The config file of a dataset, relative to the project's folder, or in the checkout of a plugin.

    Raises InputError for an unknown dataset.
    """
    file = config_of("datasets", f"{plain(name)}.yaml", plugins, label_of(name))
    if not os.path.isfile(ROOT / file):
        known = sorted(
            p.stem for p in (ROOT / "configs" / "datasets").glob("*.yaml")
        )  # a name with "/" has another parent
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        raise InputError(
            f"There is no dataset {name!r}; known, nearest first: {', '.join(dict.fromkeys(near + known))}."
        )
    return file


def name_in(file: Path) -> str:
    """The registered name in a dataset's config file; "" if it has none."""
    match = re.search(r"^\s*NAME:\s*[\"']?([\w@.+-]+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    return plain(match[1]) if match else ""


def default_source(target: str) -> str:
    """The dataset on which a method is trained by default before a test on `target`."""
    return "shapes" if plain(target) in EMBEDDED else "imagenet"


def parts_of(where: str) -> list[str]:
    """The names between the commas. Raises InputError if one is empty."""
    if not where.strip():
        raise InputError("DATASET is empty; give a dataset, several with commas, or `all`.")
    parts = where.split(",")
    if not all(part.strip() for part in parts):
        raise InputError(f"DATASET is {where!r}, with nothing between two commas; remove a comma, or name a dataset.")
    return parts


def expand(protocol: str, where: str, source: str = "", plugins: Iterable[str] = ()) -> list[str]:
    """Dataset names from a script's DATASET argument: one name, several with commas, or a group's name.

    Groups: `all` and, in base-to-new and few-shot, `embedded`. Raises InputError for an empty argument, unknown
    names, and `all` of a source that has no list.
    """
    groups = {"all": ELEVEN, "embedded": EMBEDDED_SETS}
    if protocol in ("xd_test", "dg_test"):
        lists = TARGETS if protocol == "xd_test" else SHIFTS
        if "all" in where.split(",") and (source or "imagenet") not in lists:
            known = " and ".join(lists)
            raise InputError(f"`all` is known for SOURCE {known}, not for {source}; name the datasets, with commas.")
        groups = {"all": lists.get(source or "imagenet", ())}
    elif protocol == "xd_train":
        groups = {}
    names = [name for part in parts_of(where) for name in groups.get(part, (part,))]
    for name in names:
        dataset_config(name, plugins)
    return list(dict.fromkeys(names))
