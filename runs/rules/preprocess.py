"""Takes size, mean, deviation, interpolation and resize mode of images from the backbone's configuration.

This applies only to backbones that open_clip's configuration describes; for OpenAI's the YAML files have these values.
Values from the command line are kept, and the run warns of them (`trainers/shared/backbone.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .rule import Rule

if TYPE_CHECKING:
    from .facts import Facts

B = "MODEL.BACKBONE."
PREFIXES = ("open_clip:", "hf-hub:", "local-dir:")


def followed(config: Mapping[str, Any], facts: Facts) -> dict[str, object]:
    """The keys of INPUT that the backbone's configuration sets. Raises InputError for a configuration that cannot be
    read, and for an unknown name."""
    name, path, spec = (str(config.get(B + key, "") or "") for key in ("NAME", "PATH", "SPEC"))
    if not path and not name.startswith(PREFIXES):
        return {}
    # Imported here, since they import torch, which most backbones do not need.
    from clipkit.open_clip_config import read_config, spec_from_config
    from clipkit.open_clip_names import configuration
    from clipkit.structure import config_of

    if path:
        file = config_of(Path(path).expanduser(), spec)
        if file is None:
            return {}
        settings, preprocess, where = *read_config(file), str(file)
    else:
        settings, preprocess, where = configuration(name)
    given = spec_from_config(settings, preprocess, where).preprocess.as_config()
    origin = getattr(config, "origin", {})
    return {key: value for key, value in given.items() if not str(origin.get(key, "")).startswith("command line")}


RULE = Rule("images as in the backbone's configuration", followed)
