"""Two registered models, each with an optimizer of its own."""

import torch.nn as nn
from torch.nn import functional as F

from dassl.engine import TRAINER_REGISTRY, TrainerX
from dassl.metrics import compute_accuracy
from dassl.optim import build_lr_scheduler, build_optimizer
from dassl.utils import count_num_param

from .field_coop import CustomCLIP, FieldCoOp, load_clip_to_cpu


class Adapter(nn.Module):
    def __init__(self, c_in, reduction=4):
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(c_in, c_in // reduction, bias=False), nn.ReLU(), nn.Linear(c_in // reduction, c_in, bias=False)
        )

    def forward(self, x):
        return 0.8 * x + 0.2 * self.fc(x)


class AdaptedCLIP(CustomCLIP):
    def __init__(self, cfg, classnames, clip_model):
        super().__init__(cfg, classnames, clip_model)
        self.adapter = Adapter(clip_model.text_projection.shape[1]).to(clip_model.dtype)

    def forward(self, image):
        image_features = self.adapter(self.image_encoder(image.type(self.dtype)))
        text_features = self.text_encoder(self.prompt_learner(), self.tokenized_prompts)
        return self.logit_scale.exp() * F.normalize(image_features, dim=-1) @ F.normalize(text_features, dim=-1).t()


@TRAINER_REGISTRY.register()
class FieldTwoOptims(TrainerX):
    def build_model(self):
        cfg = self.cfg
        self.model = AdaptedCLIP(cfg, self.dm.dataset.classnames, load_clip_to_cpu(cfg).float())
        for name, param in self.model.named_parameters():
            param.requires_grad_("prompt_learner" in name or "adapter" in name)
        self.model.cuda()
        print("# params:", count_num_param(self.model.adapter))
        self.optim = build_optimizer(self.model.prompt_learner, cfg.OPTIM)
        self.sched = build_lr_scheduler(self.optim, cfg.OPTIM)
        self.register_model("prompt_learner", self.model.prompt_learner, self.optim, self.sched)
        self.optim_adapter = build_optimizer(self.model.adapter, cfg.OPTIM)
        self.sched_adapter = build_lr_scheduler(self.optim_adapter, cfg.OPTIM)
        self.register_model("adapter", self.model.adapter, self.optim_adapter, self.sched_adapter)

    def forward_backward(self, batch):
        image, label = self.parse_batch_train(batch)
        output = self.model(image)
        loss = F.cross_entropy(output, label)
        self.model_zero_grad(["prompt_learner", "adapter"])
        self.model_backward(loss)
        self.model_update("prompt_learner")
        if self.batch_idx % 2 == 0:
            self.model_update("adapter")
        loss_summary = {"loss": loss.item(), "acc": compute_accuracy(output, label)[0].item()}
        if (self.batch_idx + 1) == self.num_batches:
            self.update_lr()
        return loss_summary

    parse_batch_train = FieldCoOp.parse_batch_train
    load_model = FieldCoOp.load_model
