"""Text features of classes from several texts each: the mean of the texts' normalised features."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from clipkit import InputError, TextEncoder, normalize


def mean_of_templates(encoder: TextEncoder, templates: Sequence[str], names: Sequence[str]) -> Tensor:
    """[C, d]: for each class the mean over templates of unit features; not normalised again."""
    return mean_of_texts(encoder, [[template.format(name) for name in names] for template in templates])


def mean_of_texts(encoder: TextEncoder, texts: Sequence[list[str]]) -> Tensor:
    """[C, d]: for each class the mean over the lists, which hold a text a class, of unit features; not normalised
    again."""
    with torch.no_grad():
        found = [encoder.encode_texts(of_classes) for of_classes in texts]
    return torch.stack([normalize(f.float()) for f in found]).mean(dim=0)


def descriptor_sentence(name: str, descriptor: str) -> str:
    """ "NAME, which has/is DESCRIPTOR" by the grammar of Menon and Vondrick's descriptors."""
    if descriptor.startswith(("a", "used")):
        return f"{name}, which is {descriptor}"
    if descriptor.startswith(("has", "often", "typically", "may", "can")):
        return f"{name}, which {descriptor}"
    return f"{name}, which has {descriptor}"


def descriptor_features(encoder: TextEncoder, file: str, names: Sequence[str]) -> list[Tensor]:
    """Of each class [S_c, d], the unit features of its sentences. Raises InputError as `read_descriptors`."""
    found = read_descriptors(file, names)
    with torch.no_grad():
        return [
            normalize(encoder.encode_texts([descriptor_sentence(name, d) for d in given]).float())
            for name, given in zip(names, found, strict=True)
        ]


def read_descriptors(file: str, names: Sequence[str]) -> list[list[str]]:
    """The descriptors of each class from a JSON file {class: [descriptor, ...]}; in names, _ counts as a space.

    Raises InputError for a file that is missing or of another shape, and for a class that has none.
    """
    try:
        given = json.loads(Path(file).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"Descriptors of classes cannot be read from {file}: {error}") from error
    right = isinstance(given, dict) and all(isinstance(v, list) for v in given.values())
    if not right or not all(isinstance(d, str) and d for v in given.values() for d in v):
        raise InputError(f"{file} must be a JSON object of lists of texts: {{class: [descriptor, ...]}}.")
    known = {name.replace("_", " ").casefold(): texts for name, texts in given.items()}
    if missing := [name for name in names if not known.get(name.replace("_", " ").casefold())]:
        raise InputError(f"{file} has no descriptor of {missing[0]!r} ({len(missing)} of {len(names)} classes).")
    return [known[name.replace("_", " ").casefold()] for name in names]
