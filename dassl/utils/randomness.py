"""All randomness of a run comes from its seed, through named streams."""

from __future__ import annotations

import hashlib
import logging
import random
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import torch
from yacs.config import CfgNode

logger = logging.getLogger(__name__)


def set_random_seed(seed: int) -> None:
    """Seed Python, numpy's global generator, torch and torch on all GPUs. Sets no determinism flags."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (trainers draw from the global generator)
    torch.manual_seed(seed)
    torch.cuda.manual_seed_all(seed)


def stream_seed(*parts: object) -> int:
    """The 63-bit seed of a named random stream: from any parts (numbers, texts), the same on every machine, unrelated
    for different parts.

    It seeds the engine's streams: loaders, epochs, tests, an image's views and attacks. Methods seed their prompts and
    steps with `clipkit.derive_seed`, which gives other numbers.
    """
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


@cache
def _drawn_seed() -> int:
    seed = secrets.randbelow(2**31)
    logger.info("No seed is set (SEED is negative): this run uses seed %d", seed)
    return seed


def base_seed(cfg: CfgNode) -> int:
    """`cfg.SEED`, or, if that is negative, a seed drawn from the operating system once per process."""
    return cfg.SEED if cfg.SEED >= 0 else _drawn_seed()


def seed_cpu(seed: int) -> None:
    """Seed Python, numpy and torch's CPU generator; cheap enough to be done for every sample."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)


@contextmanager
def seeded(seed: int, cuda: bool = False) -> Iterator[None]:
    """Inside the block the global generators run from `seed`; afterwards they go on as if nothing had been drawn.

    `cuda`: also the generators of all GPUs that are in use.
    """
    cuda = cuda and torch.cuda.is_available() and torch.cuda.is_initialized()
    state = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    cuda_state = torch.cuda.get_rng_state_all() if cuda else None
    try:
        seed_cpu(seed)
        if cuda:
            torch.cuda.manual_seed_all(seed)
        yield
    finally:
        random.setstate(state[0])
        np.random.set_state(state[1])  # noqa: NPY002
        torch.set_rng_state(state[2])
        if cuda_state is not None:
            torch.cuda.set_rng_state_all(cuda_state)
