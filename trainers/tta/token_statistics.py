"""Mean and variance over training pictures of the tokens that enter the image tower's prompted blocks."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from clipkit import ImageEncoder, InputError, fingerprint, image_list_key
from dassl.data.data_manager import build_data_loader
from dassl.data.datasets import build_dataset
from dassl.data.transforms import build_transform
from dassl.utils.images import same_reading
from dassl.utils.progress import progress
from dassl.utils.torch_file import read_torch_file, state_dict_in, unusable
from datasets.reading.catalog import find, make_cfg, quiet

from ..shared.bank_facts import bank_facts
from ..shared.method import Method
from ..shared.precision import autocast
from .trained_prompts import TrainedPrompts

logger = logging.getLogger(__name__)


class Statistics(NamedTuple):
    """MU and VAR, [blocks, L, width] each: of every token and channel, over pictures."""

    mean: Tensor
    var: Tensor

    def distance(self, inputs: Iterable[Tensor]) -> Tensor:
        """A = sum_l L1(mu_l, MU_l) / 2 + L1(var_l, VAR_l) / 2; mu_l and var_l (the biased variance) are over the k
        views of the blocks' inputs [k, L, width], and L1 is the mean over their numbers."""
        found = self.mean.new_zeros(())
        for x, mean, var in zip(inputs, self.mean, self.var, strict=True):
            found = found + ((x.mean(0) - mean).abs().mean() + (x.var(0, correction=0) - var).abs().mean()) / 2
        return found


def keep_up_to(blocks: int, into: dict[int, Tensor]) -> Callable[[int, Tensor], None]:
    """For `ImageEncoder`'s `watch`: the inputs of the blocks 1 to `blocks`."""

    def watch(block: int, x: Tensor) -> None:
        if block <= blocks:
            into[block] = x

    return watch


@same_reading()  # the pictures of the training may be read by other rules than those of the test
def statistics_of(trained: TrainedPrompts, blocks: int, shots: int, trainer: Method) -> Statistics:
    """Those of the inputs of the blocks 1 to `blocks` under these prompts, over the training pictures of the data set
    that they were trained on, from disk if they were computed before.

    shots: of each class, the ones of the training run; 0: all pictures. Pictures are resized and cropped as in a test.
    """
    with quiet():
        items = _pictures(trained.run, shots, trainer)
        transform = build_transform(trainer.cfg, is_train=False)
    size = trainer.cfg.DATALOADER.TEST.BATCH_SIZE
    loader = build_data_loader(trainer.cfg, data_source=items, batch_size=size, tfm=transform, is_train=False)
    with torch.no_grad():
        tokens = {block: x.detach() for block, x in trained.tokens().items()}
    key = {
        "kind": "mean and variance of the tokens that enter blocks, over pictures, fp32",
        **bank_facts(fingerprint(trainer.clip), trainer.precision, trainer.device),
        "prompts": _digest(tokens),
        "blocks": blocks,
        "transform": repr(transform),
        "images": image_list_key([item.impath for item in items]),
        "batch_size": size,
    }
    logger.info("Statistics of %s over %d pictures: %s", trained.file, len(items), trainer.bank.path(key))
    found = trainer.bank.get(key, lambda: moments(trainer, loader, tokens, blocks)._asdict())
    return Statistics(found["mean"].to(trainer.device), found["var"].to(trainer.device))


@torch.no_grad()
def moments(trainer: Method, loader: DataLoader, tokens: Mapping[int, Tensor], blocks: int) -> Statistics:
    """The statistics under these tokens over all pictures of a loader; the variance is the unbiased one."""
    count, mean, squares = 0, torch.zeros(()), torch.zeros(())  # squares: of the differences to the mean
    for batch in progress(loader, desc="statistics of tokens"):
        seen: dict[int, Tensor] = {}
        image = batch["img"].to(trainer.device)
        with autocast(trainer.precision, trainer.device):
            trainer.image_encoder(
                image.type(trainer.image_encoder.dtype), replace=tokens, watch=keep_up_to(blocks, seen)
            )
        x = [seen[block].double() for block in range(1, blocks + 1)]
        own = torch.stack([each.mean(0) for each in x])
        step = own - mean.to(own)
        spread = torch.stack([(each - m).square().sum(0) for each, m in zip(x, own, strict=True)])
        whole = count + len(image)
        mean = mean.to(own) + step * len(image) / whole
        squares = squares.to(own) + spread + step.square() * count * len(image) / whole
        count = whole
    return Statistics(mean.float(), (squares / max(count - 1, 1)).float())


def read_statistics(key: str, given: str, shape: tuple[int, ...], device: torch.device) -> Statistics:
    """The tensors `mean` and `var` of the file that the config key names. Raises InputError for other shapes."""
    file = Path(given).expanduser()
    found = state_dict_in(read_torch_file(file), file)
    for name in Statistics._fields:
        if name not in found:
            raise InputError(f"{file} ({key}) has no tensor {name}; statistics are two, mean and var.")
        if why := unusable(name, found[name], torch.empty(shape, device="meta")):
            raise InputError(f"{file} ({key}): {why}; give statistics of such prompts on this backbone.")
    return Statistics(found["mean"].float().to(device), found["var"].float().to(device))


def input_shape(encoder: ImageEncoder, tokens: Mapping[int, Tensor], blocks: int) -> tuple[int, int, int]:
    """(blocks, L, width) of what enters the blocks 1 to `blocks`, from a black picture."""
    seen: dict[int, Tensor] = {}
    side, own = encoder.input_size, ImageEncoder(encoder.clip_model)  # whose count of images is nobody's
    black = torch.zeros(1, 3, side, side, dtype=encoder.dtype, device=next(iter(tokens.values())).device)
    with torch.no_grad():
        own(black, replace=tokens, watch=keep_up_to(blocks, seen))
    return blocks, seen[1].shape[1], seen[1].shape[2]


def _pictures(run: dict, shots: int, trainer: Method) -> list:
    """The training items of the data set that a run was trained on."""
    cfg = trainer.cfg
    entry = find(run["DATASET.NAME"])
    half, seed = run.get("DATASET.SUBSAMPLE_CLASSES", "all"), max(run.get("SEED", 1), 0)
    return build_dataset(make_cfg(entry, cfg.DATASET.ROOT, shots or -1, seed, half)).train_x


def _digest(tokens: Mapping[int, Tensor]) -> str:
    digest = hashlib.sha256()
    for block in sorted(tokens):
        digest.update(f"{block}{tuple(tokens[block].shape)}".encode())
        digest.update(tokens[block].float().cpu().contiguous().numpy().data)
    return digest.hexdigest()
