"""Loading CLIP: by OpenAI's names, from a local file, or the one that comes with this package."""

from pathlib import Path

import torch
from torch import Tensor

from . import openai_clip
from .architecture import (
    EMBEDDED,
    OPENAI,
    RANDOM,
    Architecture,
    build_empty,
    check_name,
    read_architecture,
)
from .errors import InputError
from .seeding import derive_seed
from .structure import KEY, MARKS, check_structure
from .torch_file import unusable
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
    """A frozen `clip.model.CLIP` in eval mode.

    name: one of `available_backbones()`, or "random:<OpenAI name>": that architecture with random weights, the same
        in every run (for timings). May be empty if `path` is given.
    path: a local file that is used instead of a download: OpenAI's TorchScript archive, a state dict saved by
        torch.save, or .safetensors. If `name` is given too, the file must have that architecture. Whether it is of
        OpenAI's structure must be known, see `spec`.
    precision: "fp32", "amp" and "bf16" store fp32 (the last two run under autocast); "fp16" stores Linear, Conv,
        attention and projections as fp16 and the rest as fp32, as OpenAI does.
    download_root: folder of downloaded archives, by default ~/.cache/clip.
    spec: "openai" where the caller vouches that the weights in `path` are of OpenAI's structure, or the file of an
        open_clip configuration that says so (by default, one beside `path`); see `structure.py`.

    Raises InputError for an unknown name or precision, a missing, damaged or foreign file, weights that are not finite
    numbers, a file of another architecture than `name` or of a structure that is not known, and when a download is
    needed but fails.
    """
    if precision not in PRECISIONS:
        raise InputError(f"Unknown precision {precision!r}: choose one of {', '.join(PRECISIONS)}")
    if spec and not path:
        raise InputError(f"{KEY} has no effect without MODEL.BACKBONE.PATH, the file that it is about")
    if name.startswith(RANDOM) and not path:
        model = _random(name)
    else:
        if name or not path:
            check_name(name)
        if path:
            model = _load_file(Path(path).expanduser(), name, spec)
        else:
            model = _build(read_weights(file := _file(name, download_root)), file)
    model = model.float()
    if precision == "fp16":
        openai_clip.convert_weights(model)
    model.backbone_name = name or Path(path).name
    return model.eval().requires_grad_(False).to(device)


def _file(name: str, download_root: str | None) -> Path:
    if name != EMBEDDED:
        return download(name, download_root)
    if not EMBEDDED_FILE.is_file():
        raise InputError(f"The embedded CLIP is missing from this installation (expected {EMBEDDED_FILE})")
    return EMBEDDED_FILE


def _load_file(file: Path, expected: str, spec: str) -> openai_clip.CLIP:
    weights = read_weights(file)
    architecture = read_architecture(weights, str(file))
    _check_expected(architecture, expected, file)
    model = _build(weights, file)
    check_structure(file, architecture, weights, spec)
    return model


def _build(weights: dict[str, Tensor], file: Path) -> openai_clip.CLIP:
    weights = {key: value.detach() for key, value in weights.items() if key not in MARKS}
    model = build_empty(read_architecture(weights, str(file)))
    _assign(model, weights, file)
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


def _assign(model: openai_clip.CLIP, weights: dict[str, Tensor], file: Path) -> None:
    expected = model.state_dict()
    for key in expected:
        if key.endswith("num_batches_tracked"):  # unused in eval mode; some exports leave it out
            weights.setdefault(key, torch.zeros((), dtype=torch.long))
    wrong = sorted(set(expected) ^ set(weights))
    if wrong:
        raise InputError(
            f"{file} does not fit OpenAI's CLIP: {len(wrong)} missing or unknown weights, first {wrong[0]!r}"
        )
    for key, like in expected.items():
        if why := unusable(key, weights[key], like):
            raise InputError(f"{file} does not fit OpenAI's CLIP: {why}")
    model.load_state_dict(weights, assign=True)
    mask = model.build_attention_mask()  # a plain attribute, so it is still on the meta device
    for block in model.transformer.resblocks:
        block.attn_mask = mask


def _random(name: str) -> openai_clip.CLIP:
    base = name[len(RANDOM) :]
    if base not in OPENAI:
        check_name(base)
        raise InputError(f"{name!r}: only OpenAI's architectures can be given random weights, {base} is none")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("random weights", base))
        return openai_clip.CLIP(*OPENAI[base])
