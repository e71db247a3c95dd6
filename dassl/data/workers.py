"""How many worker processes a loader may have."""

from __future__ import annotations

import logging
import os
from functools import cache

logger = logging.getLogger(__name__)


@cache
def usable_workers(requested: int) -> int:
    """At most as many worker processes as CPU cores; the batches do not depend on it."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if requested > cpus:
        logger.info("DATALOADER.NUM_WORKERS lowered from %d to %d, the number of CPU cores", requested, cpus)
    return min(requested, cpus)
