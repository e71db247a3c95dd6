"""Base of test-time methods that learn from the stream of test images; its order, resets and passes are settings.

An image's answer depends on the images before it, so the order belongs to the run: it is drawn from the seed alone, and
depends neither on workers nor on the machine.
"""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor
from yacs.config import CfgNode

from clipkit import InputError
from dassl.config.domains import OPTIONAL, choice, number, whole
from dassl.config.shown import data_name
from dassl.utils import base_seed, stream_seed
from dassl.utils.progress import progress

from ..shared.tester import keep_others
from .config import DEFAULTS, DOMAINS
from .domains import KEY, join, names_of
from .outputs import BeforeAfter
from .trainer import TestTimeTrainer
from .views import groups

S = "TRAINER.STREAM."
ORDERS = ("shuffled", "file", "by_class", "by_domain")
STREAM_DEFAULTS = {
    S + "ORDER": "shuffled",  # shuffled | file: as listed | by_class, by_domain: one after another, in a drawn order
    S + "WITH": "",  # further data sets of the same classes, with commas: domains of one stream
    S + "SEED": -1,  # of the order; -1: the run's
    S + "RESET_EVERY": 0,  # images after which the state is reset; 0: only at the start of a test
    S + "PASSES": 1,  # over the stream; the last one counts
    S + "BATCH": 1,  # images that arrive together: the state learns from all of them before they are answered
    S + "ATTACKED": 1.0,  # with TEST.ADV_SET: the share of attacked images; the others are clean
}
STREAM_DOMAINS = {
    S + "ORDER": choice(*ORDERS),
    S + "WITH": OPTIONAL,
    S + "SEED": whole(-1),
    S + "RESET_EVERY": whole(0),
    S + "PASSES": whole(1),
    S + "BATCH": whole(1),
    S + "ATTACKED": number(0, 1),
}


class StreamTrainer(TestTimeTrainer):
    """A method gives `new_state()`, `learn(state, f)`, which takes in an image's views [n, d], and `read(state, f)`,
    the answer [C]. Outside of a test (`predict.py`) every image is the first one of a stream of its own."""

    stateful = True
    config_defaults = {**DEFAULTS, **STREAM_DEFAULTS}
    config_domains = {**DOMAINS, **STREAM_DOMAINS}
    state: object | None = None  # of the test that is running

    def check_cfg(self, cfg: CfgNode) -> None:
        super().check_cfg(cfg)
        stream = cfg.TRAINER.STREAM
        if stream.RESET_EVERY % stream.BATCH:
            raise InputError(
                f"{S}RESET_EVERY is {stream.RESET_EVERY}, no multiple of {S}BATCH ({stream.BATCH}), whose images "
                "arrive together."
            )
        if names_of(stream.WITH) and (cfg.TEST.get("ADV_SET", "") or cfg.TEST.get("CORRUPTION", {}).get("NAME", "")):
            raise InputError(f"{KEY} joins clean data sets; leave it out, or TEST.ADV_SET and TEST.CORRUPTION.")

    def new_state(self) -> object:
        raise NotImplementedError

    def learn(self, state: object, f: Tensor) -> None:
        raise NotImplementedError

    def read(self, state: object, f: Tensor) -> Tensor:
        raise NotImplementedError

    def state_size(self, state: object) -> int:
        """How many images the state holds."""
        raise NotImplementedError

    def from_features(self, f: Tensor) -> Tensor:
        if self.state is None:
            return torch.stack([self._alone(one) for one in f])
        for one in f:
            self.learn(self.state, one)
        return torch.stack([self.read(self.state, one) for one in f])

    def _alone(self, f: Tensor) -> Tensor:
        state = self.new_state()
        self.learn(state, f)
        return self.read(state, f)

    def pixel_logits(self, x01: Tensor, **options: object) -> Tensor:
        raise InputError(
            f"{self.cfg.TRAINER.NAME} learns from the images before, so that an attack on one image would have to "
            "replay the stream; test it on pictures that were attacked beforehand (TEST.ADV_SET), a transfer attack."
        )

    # ------------------------------------------------------------------ testing

    def _evaluate(self, data_loader, split: str) -> None:
        cfg, domains = self.cfg.TRAINER.STREAM, [self.cfg.DATASET.NAME]
        if names := names_of(cfg.WITH):
            data_loader, domains = join(data_loader, self.dm.dataset, self.cfg, names)
        items = data_loader.dataset.data_source
        order = stream_order(cfg.ORDER, items, self._stream_seed("stream", split))
        clean = self._spared(len(items), split)
        since, kept = 0, {}
        try:
            self.state = self.new_state()
            for _ in range(cfg.PASSES):
                loader = self.viewed(data_loader, split, order, clean)
                for group in groups(progress(loader, desc=f"evaluate {split}"), cfg.BATCH):
                    if cfg.RESET_EVERY and since >= cfg.RESET_EVERY:
                        self.state, since = self.new_state(), 0
                    before, after = (logits.cpu() for logits in self.answer(group))
                    for image, *logits in zip(group, before, after, strict=True):
                        kept[image.index] = (SimpleNamespace(path=image.path, label=image.label), *logits)
                    since += len(group)
            held = self.state_size(self.state)
        finally:
            self.state = None
        right = self._tell([kept[i] for i in range(len(items))], order, clean, held, split)
        if len(domains) > 1:
            of = np.array([item.domain for item in items])
            self.record["test_time"] |= {
                "domains": [domains[k] for k in dict.fromkeys(of[order].tolist())],  # as they arrive
                "accuracy_by_domain": {name: 100.0 * float(right[of == k].mean()) for k, name in enumerate(domains)},
            }

    def _tell(self, kept: list[tuple], order: list[int], clean: frozenset[int], held: int, split: str) -> np.ndarray:
        """Gives the answers to the evaluator in the order of the list, so that outputs of two stream orders can be
        compared image by image. Returns which are right, [N]."""
        outputs = BeforeAfter()
        for start in range(0, len(kept), 256):
            images, before, after = zip(*kept[start : start + 256], strict=True)
            before, after = torch.stack(before), torch.stack(after)
            label = torch.tensor([image.label for image in images])
            self.evaluator.process(after, label)
            keep_others(self.evaluator, {"before": before}, label)
            outputs.add(list(images), label, before, after)
        right = np.array([int(after.argmax()) == image.label for image, _, after in kept])
        cfg = self.cfg.TRAINER.STREAM
        self._record(outputs, split)
        self.record["test_time"] |= {
            "stateful": True,
            "order": cfg.ORDER,
            "order_hash": hashlib.sha256(np.asarray(order, np.int64).tobytes()).hexdigest()[:16],
            "state_size": held,
            "accuracy_last_half": 100.0 * float(right[order[len(order) // 2 :]].mean()),
        }
        if clean:
            spared = np.isin(np.arange(len(kept)), list(clean))
            parts = {"clean": right[spared], "attacked": right[~spared]}
            self.record["test_time"] |= {f"accuracy_{k}": 100.0 * float(v.mean()) for k, v in parts.items() if len(v)}
        return right

    def _stream_seed(self, what: str, split: str) -> int:
        own = self.cfg.TRAINER.STREAM.SEED
        return stream_seed(base_seed(self.cfg) if own < 0 else own, what, data_name(self.cfg), split)

    def _spared(self, count: int, split: str) -> frozenset[int]:
        """The indices of the images that stay clean although TEST.ADV_SET is given. Each image has a draw of its own,
        so the images that are attacked at a smaller share are attacked at a larger one, too."""
        share = self.cfg.TRAINER.STREAM.ATTACKED
        if not self.cfg.TEST.get("ADV_SET", "") or share == 1:
            return frozenset()
        draws = np.random.default_rng(self._stream_seed("attacked", split)).random(count)
        return frozenset(np.flatnonzero(draws >= share).tolist())


def stream_order(kind: str, items: list, seed: int) -> list[int]:
    """The indices of the items in the order of their arrival; see `STREAM_DEFAULTS`.

    by_class and by_domain take the classes, or the domains, in a drawn order; file has them as they are listed.
    """
    if kind == "file":
        return list(range(len(items)))
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(items)).tolist()
    if kind == "shuffled":
        return shuffled
    part = [item.label if kind == "by_class" else item.domain for item in items]
    parts = sorted(set(part))
    rank = dict(zip(parts, generator.permutation(len(parts)).tolist(), strict=True))
    return sorted(shuffled, key=lambda i: rank[part[i]])  # sorting is stable: shuffled within a part
