"""Lines on the progress of an attack: now and then, with the time that is left."""

from __future__ import annotations

import logging

import torch

from attacks import AttackSettings, told
from attacks.told import Told
from robustness.adaptive import Eot, Way, attack_way


def test_a_line_when_half_a_minute_has_passed(caplog):
    now = [0.0]
    with caplog.at_level(logging.INFO, logger="attacks"):
        steps = Told("way 1", 100, clock=lambda: now[0])
        for _ in range(100):
            now[0] += 2.0
            steps.tick()
    lines = [record.message for record in caplog.records]
    assert lines[0] == "way 1: 15 of 100 steps, about 0:02:50 left" and len(lines) == 6


def test_every_step_of_an_adaptive_attack_is_counted(caplog, monkeypatch):
    monkeypatch.setattr(told, "EVERY", 0.0)
    scale = torch.tensor([3.0, 2.0, 1.0])
    way = Way("plain", lambda x, seeds: x.flatten(1).mean(1, keepdim=True) * scale, views=1, draws=False)
    settings, clean = AttackSettings(eps=16.0, alpha=4.0, steps=4), torch.full((3, 3, 8, 8), 100, dtype=torch.uint8)
    with caplog.at_level(logging.INFO, logger="attacks"):
        attack_way(way, settings, Eot(draws=1, views=1), clean, torch.tensor([0, 1, 2]), [1, 2, 3], what="an attack")
    starts = [record.message.partition(" steps")[0] for record in caplog.records]
    assert starts == [f"an attack: {step} of 5" for step in (1, 2, 3, 4)]
