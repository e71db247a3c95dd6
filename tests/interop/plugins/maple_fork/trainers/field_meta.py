"""A step of meta-learning: a loss after an inner step, derived through that step (`create_graph=True`)."""

import torch
from torch.func import functional_call

from dassl.engine import TRAINER_REGISTRY
from trainers.field_maple import FieldMaPLe


@TRAINER_REGISTRY.register()
class FieldMeta(FieldMaPLe):
    def forward_backward(self, batch):
        image, label = self.parse_batch_train(batch)
        half = len(image) // 2
        params = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        inner = self.model(image[:half], label[:half])
        grads = torch.autograd.grad(inner, list(params.values()), create_graph=True, allow_unused=True)
        self.moved = {
            name: p if grad is None else p - 0.5 * grad
            for (name, p), grad in zip(params.items(), grads, strict=True)
        }  # fmt: skip
        loss = functional_call(self.model, self.moved, (image[half:], label[half:]))
        self.optim.zero_grad()
        loss.backward()
        self.optim.step()
        if (self.batch_idx + 1) == self.num_batches:
            self.update_lr()
        return {"loss": loss.item()}
