"""Forks of the tests' own process."""

from __future__ import annotations

import torch
from processes import Fork


def test_a_fork_of_a_process_with_a_pool_of_threads_computes():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch.ones(3 * 2**20).sum()  # starts the pool, which a fork does not have
        fork = Fork(lambda: int(torch.ones(3 * 2**20).sum().item() != 3 * 2**20))
        try:
            assert fork.wait(30) == 0
        finally:
            fork.close()
    finally:
        torch.set_num_threads(before)
