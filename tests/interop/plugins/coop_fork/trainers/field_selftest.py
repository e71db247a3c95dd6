"""Its own test: the mean of an image's logits and its mirror image's."""

import torch
from tqdm import tqdm

from dassl.engine import TRAINER_REGISTRY

from .field_coop import FieldCoOp


@TRAINER_REGISTRY.register()
class FieldSelfTest(FieldCoOp):
    @torch.no_grad()
    def test(self, split=None):
        """A generic testing pipeline."""
        self.set_model_mode("eval")
        self.evaluator.reset()
        if split is None:
            split = self.cfg.TEST.SPLIT
        if split == "val" and self.val_loader is not None:
            data_loader = self.val_loader
        else:
            split = "test"  # in case val_loader is None
            data_loader = self.test_loader
        print(f"Evaluate on the *{split}* set")
        for _, batch in enumerate(tqdm(data_loader)):
            input, label = self.parse_batch_test(batch)
            output = self.model_inference(input)
            self.evaluator.process(output, label)
        results = self.evaluator.evaluate()
        for k, v in results.items():
            self.write_scalar(f"{split}/{k}", v, self.epoch)
        return list(results.values())[0]

    def model_inference(self, input):
        return (self.model(input) + self.model(input.flip(-1))) / 2
