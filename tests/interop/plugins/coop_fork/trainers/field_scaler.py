"""Its own training step: loss scaling in any precision, gradients clipped. Written for a GPU: `.cuda()` all over."""

import torch
from torch.cuda.amp import GradScaler, autocast
from torch.nn import functional as F

from dassl.engine import TRAINER_REGISTRY, TrainerX
from dassl.metrics import compute_accuracy
from dassl.optim import build_lr_scheduler, build_optimizer
from trainers.field_coop import CustomCLIP, FieldCoOp, load_clip_to_cpu
from trainers.imagenet_templates import IMAGENET_TEMPLATES_SELECT


@TRAINER_REGISTRY.register()
class FieldScaler(TrainerX):
    def build_model(self):
        cfg = self.cfg
        clip_model = load_clip_to_cpu(cfg).cuda().half()
        self.model = CustomCLIP(cfg, self.dm.dataset.classnames, clip_model)
        for name, param in self.model.named_parameters():
            param.requires_grad_("prompt_learner" in name)
        self.model.cuda()
        from clip import clip  # some import within a function

        with torch.no_grad():
            texts = clip.tokenize([IMAGENET_TEMPLATES_SELECT[0].format(c) for c in self.dm.dataset.classnames])
            zs = clip_model.encode_text(texts.to("cuda"))
            self.zs = (zs / zs.norm(dim=-1, keepdim=True)).to(torch.float16)
        self.optim = build_optimizer(self.model.prompt_learner, cfg.OPTIM)
        self.sched = build_lr_scheduler(self.optim, cfg.OPTIM)
        self.register_model("prompt_learner", self.model.prompt_learner, self.optim, self.sched)
        self.scaler = GradScaler()

    def parse_batch_train(self, batch):
        return batch["img"].cuda(), batch["label"].cuda(non_blocking=True)

    def forward_backward(self, batch):
        image, label = self.parse_batch_train(batch)
        weight = torch.ones(1, device="cuda", dtype=torch.half)
        with autocast():
            output = self.model(image)
            text = self.model.text_encoder(self.model.prompt_learner(), self.model.tokenized_prompts)
            text = text / text.norm(dim=-1, keepdim=True)
            loss = F.cross_entropy(output, label) + weight[0] * (1 - (text * self.zs).sum(dim=-1)).mean()
        self.optim.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optim)
        torch.nn.utils.clip_grad_norm_(self.model.prompt_learner.parameters(), 1.0)
        self.scaler.step(self.optim)
        self.scaler.update()
        if (self.batch_idx + 1) == self.num_batches:
            self.update_lr()
        return {"loss": loss.item(), "acc": compute_accuracy(output, label)[0].item()}

    load_model = FieldCoOp.load_model
