"""Loading CLIP: by OpenAI's names, from a local file, or the one that comes with this package."""

from pathlib import Path
from typing import cast

import torch

from . import openai_clip
from .architecture import EMBEDDED, OPENAI, RANDOM, Architecture, check_name, read_architecture
from .errors import InputError
from .from_weights import configured, openai_model
from .open_clip_config import read_config
from .open_clip_names import PREFIXES, find
from .other_clip import OtherCLIP
from .seeding import derive_seed
from .structure import KEY, check_known, check_shapes, config_of
from .weights import EMBEDDED_FILE, download, read_weights

PRECISIONS = ("fp32", "amp", "bf16", "fp16")


def load_clip(
    name: str,
    path: str = "",
    precision: str = "fp32",
    device: str | torch.device = "cpu",
    download_root: str | None = None,
    spec: str = "",
) -> openai_clip.CLIP:
    """A frozen CLIP in eval mode: a `clip.model.CLIP`, or an `OtherCLIP` where that class cannot hold its towers.

    name: one of `available_backbones()`, or "open_clip:MODEL:TAG", "hf-hub:ORG/NAME" or "local-dir:FOLDER", see
        `open_clip_names.py`; or "random:<OpenAI name>": that architecture with random weights, the same
        in every run (for timings). May be empty if `path` is given.
    path: a local file that is used instead of a download: OpenAI's TorchScript archive, a state dict saved by
        torch.save, or .safetensors. If `name` is given too, the file must have that architecture. Whether it is of
        OpenAI's structure, or which other one, must be known, see `spec`.
    precision: "fp32", "amp" and "bf16" store fp32 (the last two run under autocast); "fp16" stores Linear, Conv,
        attention and projections as fp16 and the rest as fp32, as OpenAI does.
    download_root: folder of downloaded archives, by default ~/.cache/clip.
    spec: "openai" where the caller vouches that the weights in `path` are of OpenAI's structure, or the file of an
        open_clip configuration that says what they are (by default, one beside `path`); see `structure.py`.

    Raises InputError for an unknown name or precision, a missing, damaged or foreign file, weights that are not finite
    numbers, a file of another architecture than `name` or of a structure that is not known, and when a download is
    needed but fails.
    """
    if precision not in PRECISIONS:
        raise InputError(f"Unknown precision {precision!r}: choose one of {', '.join(PRECISIONS)}")
    if spec and not path:
        raise InputError(f"{KEY} describes the file MODEL.BACKBONE.PATH, which is not given: give both or neither")
    if name.startswith(RANDOM) and not path:
        model: openai_clip.CLIP | OtherCLIP = _random(name)
    elif name.startswith(PREFIXES):
        if path:
            raise InputError(f"MODEL.BACKBONE.NAME {name} and MODEL.BACKBONE.PATH {path} both name weights: give one")
        found = find(name)
        model = configured(read_weights(found.file), found.settings, found.preprocess, found.file, found.where)
    else:
        if name or not path:
            check_name(name)
        if path:
            model = _load_file(Path(path).expanduser(), name, spec)
        else:
            model = openai_model(read_weights(file := _file(name, download_root)), file)
    model = model.float()
    if precision == "fp16":
        model.to_half() if isinstance(model, OtherCLIP) else openai_clip.convert_weights(model)
    model.backbone_name = name or Path(path).name
    model = model.eval().requires_grad_(False).to(device)
    return cast(openai_clip.CLIP, model)  # what is read of an OtherCLIP has the same names


def _file(name: str, download_root: str | None) -> Path:
    if name != EMBEDDED:
        return download(name, download_root)
    if not EMBEDDED_FILE.is_file():
        raise InputError(f"The embedded CLIP is missing from this installation (expected {EMBEDDED_FILE})")
    return EMBEDDED_FILE


def _load_file(file: Path, expected: str, spec: str) -> openai_clip.CLIP | OtherCLIP:
    weights = read_weights(file)
    config = config_of(file, spec)
    if config is not None:
        settings, preprocess = read_config(config)
        model = configured(weights, settings, preprocess, file, str(config))
        if isinstance(model, OtherCLIP) and expected:
            raise InputError(
                f"{file} (MODEL.BACKBONE.PATH) holds a backbone of another kind ({model.clipkit_spec.family}), but "
                f'MODEL.BACKBONE.NAME is {expected}: say MODEL.BACKBONE.NAME "" to take the file as it is'
            )
        if expected:
            _check_expected(read_architecture(model.state_dict(), str(file)), expected, file)
        return model
    architecture = read_architecture(weights, str(file))
    _check_expected(architecture, expected, file)
    check_shapes(file, architecture)
    model = openai_model(weights, file)
    check_known(file, weights, spec)
    return model


def _check_expected(found: Architecture, expected: str, file: Path) -> None:
    if expected == EMBEDDED and EMBEDDED_FILE.is_file():
        wanted = read_architecture(read_weights(EMBEDDED_FILE), str(EMBEDDED_FILE))
    else:
        wanted = OPENAI.get(expected, found)
    if found == wanted:
        return
    fits = [name for name, architecture in OPENAI.items() if architecture == found]
    fields = zip(found._fields, found, wanted, strict=True)
    differences = ", ".join(f"{field} {a} instead of {b}" for field, a, b in fields if a != b)
    what = fits[0] if fits else f"another architecture ({differences})"
    raise InputError(
        f"{file} (MODEL.BACKBONE.PATH) holds {what}, but MODEL.BACKBONE.NAME is {expected}: "
        + (f"say MODEL.BACKBONE.NAME {fits[0]}" if fits else 'say MODEL.BACKBONE.NAME "" to take the file as it is')
    )


def _random(name: str) -> openai_clip.CLIP:
    base = name[len(RANDOM) :]
    if base not in OPENAI:
        check_name(base)
        raise InputError(f"{name!r}: only OpenAI's architectures can be given random weights, {base} is none")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("random weights", base))
        return openai_clip.CLIP(*OPENAI[base])
