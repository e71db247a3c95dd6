"""Hooks before training and after every epoch, written out in full as copies of the engine's own are."""

import os.path as osp
import time

import torch
from torch.nn import functional as F

from dassl.engine import TRAINER_REGISTRY
from dassl.utils import mkdir_if_missing

from .field_coop import FieldCoOp
from .imagenet_templates import IMAGENET_TEMPLATES


@TRAINER_REGISTRY.register()
class FieldHooks(FieldCoOp):
    def before_train(self):
        directory = self.cfg.OUTPUT_DIR
        if self.cfg.RESUME:
            directory = self.cfg.RESUME
        self.start_epoch = self.resume_model_if_exist(directory)
        writer_dir = osp.join(self.output_dir, "tensorboard")
        mkdir_if_missing(writer_dir)
        self.init_writer(writer_dir)
        self.time_start = time.time()
        assert "{}" in IMAGENET_TEMPLATES[0]
        with torch.no_grad():
            text = self.model.text_encoder(self.model.prompt_learner().detach() * 0 + 1, self.model.tokenized_prompts)
            self.anchor = F.normalize(text, dim=-1)

    def forward_backward(self, batch):
        image, label = self.parse_batch_train(batch)
        output = self.model(image)
        text = F.normalize(self.model.text_encoder(self.model.prompt_learner(), self.model.tokenized_prompts), dim=-1)
        loss = F.cross_entropy(output, label) + F.mse_loss(text, self.anchor)
        self.model_backward_and_update(loss)
        if (self.batch_idx + 1) == self.num_batches:
            self.update_lr()
        return {"loss": loss.item()}

    def after_epoch(self):
        last_epoch = (self.epoch + 1) == self.max_epoch
        freq = self.cfg.TRAIN.CHECKPOINT_FREQ
        meet_checkpoint_freq = (self.epoch + 1) % freq == 0 if freq > 0 else False
        if meet_checkpoint_freq or last_epoch:
            self.save_model(self.epoch, self.output_dir)
        self.write_scalar("train/anchor", float(self.anchor.norm()), self.epoch)
