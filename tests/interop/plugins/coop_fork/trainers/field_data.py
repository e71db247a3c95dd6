"""Its own DataManager, with a second loader over the training images, and its own evaluator."""

from collections import OrderedDict

import torch

from dassl.data import DataManager
from dassl.data.data_manager import build_data_loader
from dassl.data.transforms import build_transform
from dassl.engine import TRAINER_REGISTRY
from dassl.evaluation.build import EVALUATOR_REGISTRY, build_evaluator
from dassl.evaluation.evaluator import Classification

from .field_coop import FieldCoOp


@EVALUATOR_REGISTRY.register()
class FieldEvaluator(Classification):
    def process(self, mo, gt):
        pred = mo.max(1)[1]
        self._correct += int(pred.eq(gt).float().sum().item())
        self._total += gt.shape[0]

    def evaluate(self):
        acc = 100.0 * self._correct / self._total
        print(f"=> result\n* total: {self._total:,}\n* correct: {self._correct:,}\n* accuracy: {acc:.1f}%")
        return OrderedDict(accuracy=acc)


class FieldDataManager(DataManager):
    def __init__(self, cfg, custom_tfm_train=None, custom_tfm_test=None, dataset_wrapper=None):
        super().__init__(cfg, custom_tfm_train, custom_tfm_test, dataset_wrapper)
        self.train_loader_plain = build_data_loader(
            cfg,
            sampler_type="SequentialSampler",
            data_source=self.dataset.train_x,
            batch_size=cfg.DATALOADER.TRAIN_X.BATCH_SIZE,
            n_domain=cfg.DATALOADER.TRAIN_X.N_DOMAIN,
            n_ins=cfg.DATALOADER.TRAIN_X.N_INS,
            tfm=build_transform(cfg, is_train=False),
            is_train=False,
            dataset_wrapper=dataset_wrapper,
        )


@TRAINER_REGISTRY.register()
class FieldData(FieldCoOp):
    def __init__(self, cfg):
        super().__init__(cfg)
        self.evaluator = build_evaluator(cfg, lab2cname=self.lab2cname)
        self.evaluator = EVALUATOR_REGISTRY.get("FieldEvaluator")(cfg, lab2cname=self.lab2cname)

    def build_data_loader(self):
        dm = FieldDataManager(self.cfg)
        self.train_loader_x = dm.train_loader_x
        self.train_loader_u = dm.train_loader_u
        self.val_loader = dm.val_loader
        self.test_loader = dm.test_loader
        self.train_loader_plain = dm.train_loader_plain
        self.num_classes = dm.num_classes
        self.num_source_domains = dm.num_source_domains
        self.lab2cname = dm.lab2cname
        self.dm = dm

    @torch.no_grad()
    def before_epoch(self):
        self.set_model_mode("eval")
        hits = [self.model(batch["img"].to(self.device)).argmax(dim=1).cpu() for batch in self.train_loader_plain]
        print("confidently", len(torch.cat(hits)), "training images seen")
