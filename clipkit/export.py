"""Converts checkpoints of this project (learnable tensors only) to the form of the reference methods, and back.

The form follows from the keys. A method that registers its prompt learner alone (`ctx`, `meta_net.*`) saves it with
the embedded class names, `token_prefix` [C, 1, d] and `token_suffix` [C, 76 - n, d]. One that registers its whole model
(`prompt_learner.*`, `image_encoder.*`, ...) saves every weight of CLIP but the token embedding besides.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from .architecture import looks_like_a_file
from .checkpoint_file import BESIDE, LEARNABLE, LEARNABLE_KIND, kinds, read_checkpoint, record
from .errors import InputError
from .files import atomic_path
from .fingerprint import fingerprint
from .load import load_clip
from .openai_clip import CLIP
from .structure import OPENAI_SPEC
from .text_encoder import TextEncoder
from .tokens import tokenize
from .torch_file import entry

logger = logging.getLogger(__name__)

WHOLE = ("prompt_learner.", "image_encoder.", "text_encoder.", "representation_learner.", "adapter_", "mid_image_")
CONTEXT_WORDS = "a photo of a"  # CTX_INIT of the whole-model methods: where n < 4, its last words stand in the suffix


def learnable_checkpoint(path: str | Path) -> dict:
    """The checkpoint in `path` with its learnable tensors alone, as they are stored there, and its plain record.

    Optimizer, scheduler, frozen weights and class-name buffers are left out.
    Raises InputError when no key is that of a known method.
    """
    checkpoint = read_checkpoint(path)
    state = checkpoint["state_dict"] | {key: checkpoint[key] for key in BESIDE if key in checkpoint}
    of_kind = kinds(state)
    kept = {key: value.clone() for key, value in state.items() if of_kind[key] == LEARNABLE_KIND}
    if not kept:
        method, held = entry(checkpoint, "run").get("TRAINER.NAME"), ", ".join(list(state)[:3])
        if method:
            raise InputError(f"{path} holds {held}: there is no reference form of {method}'s checkpoints")
        raise InputError(f"{path} holds no tensor that a known method learns (it has {held}, ...)")
    dropped = [key for key in state if key not in kept]
    if dropped:
        logger.info("Left out: %d tensors, such as %s", len(dropped), ", ".join(dropped[:3]))
    return _checkpoint(kept, checkpoint)


def full_checkpoint(
    path: str | Path,
    backbone: str = "",
    classnames: Sequence[str] = (),
    precision: str = "fp16",
    template: str = "{ctx} {name}.",
    context: str = "",
    spec: str = "",
) -> dict:
    """The checkpoint in `path` as the reference implementation of its method saves it.

    backbone: a name of `available_backbones()`, or a file; empty: what the checkpoint's record says.
    classnames: C names for the class-name buffers; empty: those of the record. Methods without text prompts need none.
    precision: of the frozen weights and buffers, "fp16" (as OpenAI's `convert_weights` leaves them) or "fp32".
        Learnable tensors keep the type that they have.
    template: the text of a prompt, as in `ContextPrompts`; only TCP's differs from the default.
    spec: MODEL.BACKBONE.SPEC of a backbone file, see `load_clip`; not needed where the record knows its weights.
    context: its words, where fewer tokens are learned than it has; empty: "a photo of a" for whole-model methods.

    The second copies of CLIP that PromptSRC and CoPrompt train against are not written: their tests do not read them.
    Raises InputError for a method without a reference form, a backbone that does not fit, and missing class names.
    """
    slim = learnable_checkpoint(path)
    state, run = slim["state_dict"], entry(slim, "run")
    unknown = [key for key in state if not LEARNABLE.fullmatch(key)]
    if unknown:
        method = run.get("TRAINER.NAME", "its method")
        raise InputError(f"{path} holds {', '.join(unknown[:3])}: there is no reference form of {method}'s checkpoints")
    backbone = backbone or run.get("MODEL.BACKBONE", "")
    if not backbone or not isinstance(backbone, str):
        raise InputError(f"{path} does not say its backbone: give --backbone, such as ViT-B/16 or a file")
    model = _load_backbone(backbone, precision, run, path, spec)
    _check_fits(state, model, path, backbone)

    whole = any(key.startswith(WHOLE) for key in state)
    ctx = next((key for key in state if key.rpartition(".")[2] == "ctx"), None)
    full = dict(state)
    # Prompts of ATPrompt and TAC are more than a context before a name; the published code makes them anew.
    if ctx is not None and not any(key.endswith(("ctx_att1", "topk")) for key in state):
        words = context or (CONTEXT_WORDS if whole else "")
        names = list(classnames) or _names(slim.get("classnames")) or _names(run.get("classnames"))
        full |= _class_buffers(model, state[ctx], ctx.removesuffix("ctx"), names, template, words, path)
    if whole and not isinstance(model, CLIP):
        raise InputError(
            f"{path}: a checkpoint of {run.get('TRAINER.NAME', 'its method')} has a reference form on backbones of "
            f"OpenAI's layout only, which {backbone} is not"
        )
    if whole:
        full |= _frozen(model, logit_scale=not any(key.startswith("representation_learner.") for key in state))
    beside = {key: full.pop(key) for key in BESIDE if key in full}
    return _checkpoint(full, slim) | beside


def write_checkpoint(checkpoint: Mapping, file: str | Path) -> None:
    """Writes atomically; makes the folders above. Raises InputError when the place cannot be written."""
    file = Path(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as temporary:
            torch.save(dict(checkpoint), temporary)
    except (OSError, RuntimeError) as error:  # torch raises the latter
        raise InputError(f"{file} cannot be written: {getattr(error, 'strerror', None) or error}") from error


def _names(found: object) -> list[str]:
    """The class names in a record's entry; none if it is not a list of names."""
    if isinstance(found, (list, tuple)) and all(isinstance(name, str) for name in found):
        return list(found)
    return []


def _checkpoint(state: dict[str, Tensor], source: Mapping) -> dict:
    entries = {"epoch": None, "val_result": None} | record(source)
    return {"state_dict": state, "optimizer": None, "scheduler": None} | entries


def _class_buffers(
    model: CLIP, ctx: Tensor, prefix: str, names: list[str], template: str, words: str, path: str | Path
) -> dict[str, Tensor]:
    """Buffers of the prompts of 77 tokens: `token_prefix` (SOS) and `token_suffix` (after the n learned tokens)."""
    if not template.startswith("{ctx} ") or "{name}" not in template:
        raise InputError(f"The prompt template must begin with '{{ctx}} ' and hold '{{name}}', unlike {template!r}")
    if not names:
        raise InputError(f"{path} does not say its class names: give --classes, a file with one name per line")
    if ctx.dim() == 3 and len(ctx) != len(names):
        raise InputError(f"{path} learned a context for each of {len(ctx)} classes, but {len(names)} names are given")
    n, encoder = ctx.shape[-2], TextEncoder(model)
    first = encoder.first
    if len(words.split()) < n:
        words = " ".join([encoder.tokenizer.filler] * n)
    text = template.replace("{ctx}", words)
    texts = [text.replace("{name}", name.replace("_", " ")) for name in names]
    with torch.no_grad():
        embedding = encoder.embed(tokenize(texts, what="prompt of a class", tokenizer=encoder.tokenizer))
    return {
        f"{prefix}token_prefix": embedding[:, :first].clone(),
        f"{prefix}token_suffix": embedding[:, first + n :].clone(),
    }


def _frozen(model: CLIP, logit_scale: bool) -> dict[str, Tensor]:
    """CLIP under the names that a whole model gives it: the image tower, the text tower without its embedding."""
    frozen = {}
    for key, value in model.state_dict().items():
        if key.startswith("visual."):
            frozen[f"image_encoder.{key.removeprefix('visual.')}"] = value
        elif key.startswith(("transformer.", "ln_final.")) or key in ("positional_embedding", "text_projection"):
            frozen[f"text_encoder.{key}"] = value
        elif key == "logit_scale" and logit_scale:
            frozen[key] = value
    return frozen


def _load_backbone(backbone: str, precision: str, run: Mapping, path: str | Path, spec: str) -> CLIP:
    """The CLIP called `backbone`. InputError if its weights are not those that the record names, if it names any."""
    is_file = os.path.isfile(Path(backbone).expanduser())
    if not is_file and looks_like_a_file(backbone):
        raise InputError(f"There is no CLIP file {backbone} (--backbone): give an existing file, or a name")
    name, file = ("", backbone) if is_file else (backbone, "")
    known = run.get("backbone")
    # The run read the file as OpenAI's, and the fingerprint below shows that it is the same file.
    spec = (spec or (OPENAI_SPEC if known else "")) if is_file else ""
    model = load_clip(name, file, precision, spec=spec)
    # Weights that were not stored as fp16 have another fingerprint in each precision.
    others = (load_clip(name, file, p, spec=spec) for p in ("fp32", "fp16") if p != precision)
    if known and known != fingerprint(model) and known not in map(fingerprint, others):
        raise InputError(
            f"{path} was trained on {run.get('MODEL.BACKBONE')}, whose weights are not those of {backbone}: "
            "give the backbone of the training run"
        )
    return model


def _check_fits(state: dict[str, Tensor], model: CLIP, path: str | Path, backbone: str) -> None:
    """The width of the context, and width and blocks of deep prompts, must be the backbone's."""
    own = model.state_dict()
    for key, value in state.items():
        tower = "visual." if key.startswith("image_encoder.") else ""
        block = key.partition("resblocks.")[2].partition(".")[0]
        if key.endswith(("VPT", "VPT_shallow")):
            like = f"{tower}transformer.resblocks.{block or 0}.ln_1.weight"
        elif key.endswith("ctx"):
            if value.shape[-1:] == (TextEncoder(model).width,):
                continue
            like = ""
        else:
            continue
        if like not in own or own[like].shape[-1:] != value.shape[-1:]:
            raise InputError(f"{path}: {key} {list(value.shape)} does not fit {backbone}: give the training backbone")
