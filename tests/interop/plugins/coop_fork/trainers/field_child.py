"""A trainer that derives from another plugin's, and calls it by `super()`."""

from torch.nn import functional as F

from dassl.engine import TRAINER_REGISTRY
from trainers.field_two_optims import FieldTwoOptims


@TRAINER_REGISTRY.register()
class FieldChild(FieldTwoOptims):
    def forward_backward(self, batch):
        loss_summary = super().forward_backward(batch)
        loss_summary["norm"] = float(F.normalize(self.model.prompt_learner.ctx.detach(), dim=-1).sum())
        return loss_summary
