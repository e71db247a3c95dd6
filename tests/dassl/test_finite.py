"""Numbers that are infinite or NaN: a sentence, and nothing of it is saved or counted."""

import math
import os

import pytest
import torch
import toy

from dassl.data.data_manager import build_data_loader
from dassl.engine import TrainerXU, build_trainer
from dassl.evaluation import Classification
from dassl.utils import InputError


class Diverges(toy.ToyTrainer):
    """Its loss is NaN from the second batch of the second epoch on; `check` as trainers of the field do it."""

    check = True

    def forward_backward(self, batch):
        image, label = self.parse_batch_train(batch)
        loss = torch.nn.functional.cross_entropy(self.model(image), label)
        if (self.epoch, self.batch_idx) >= (1, 1):
            loss = loss * math.nan
        if self.check:
            self.model_backward_and_update(loss)
        return {"loss": loss.item()}


class Silent(Diverges):
    check = False


class TwoLoaders(TrainerXU):
    build_model = toy.ToyTrainer.build_model

    def build_data_loader(self):
        super().build_data_loader()
        transform = self.dm.train_loader_x.dataset.transform
        self.train_loader_u = build_data_loader(self.cfg, "RandomSampler", self.dm.dataset.val, 4, tfm=transform)

    def forward_backward(self, batch_x, batch_u):
        bad = (self.epoch, self.batch_idx) >= (1, 1)
        return {"loss": torch.tensor(math.inf if bad else 1.0), "acc": math.nan}


@pytest.mark.parametrize("kind", [Diverges, Silent, TwoLoaders])
def test_a_loss_of_nan_says_where_it_came_up_and_what_to_look_at(make_cfg, kind):
    with pytest.raises(InputError) as error:
        kind(make_cfg()).train()
    text = str(error.value)
    assert "in epoch 2, batch 2 of 2 at learning rate 1e-05" in text and "OPTIM.LR" in text and "\n" not in text
    assert isinstance(error.value, FloatingPointError)  # what upstream raises


def test_weights_of_nan_are_not_saved(make_cfg):
    class LastStep(toy.ToyTrainer):
        def after_epoch(self):
            with torch.no_grad():
                self.model[3].weight[0, 0] = math.inf
            super().after_epoch()

    trainer = LastStep(make_cfg("OPTIM.MAX_EPOCH", 1))
    with pytest.raises(InputError, match="prompt_learner after epoch 1 .*1 of the 48 numbers of 3.weight"):
        trainer.train()
    assert not os.path.exists(os.path.join(trainer.output_dir, "prompt_learner"))


@pytest.mark.parametrize("use", ["load", "resume"])
def test_a_checkpoint_of_nan_is_refused(make_cfg, use):
    cfg = make_cfg("OPTIM.MAX_EPOCH", 1)
    build_trainer(cfg).train()
    path = os.path.join(cfg.OUTPUT_DIR, "prompt_learner", "model.pth.tar-1")
    state = torch.load(path)
    state["state_dict"]["3.weight"][2, 1] = math.nan
    torch.save(state, path)
    trainer = build_trainer(make_cfg("OPTIM.MAX_EPOCH", 2))
    with pytest.raises(InputError, match="3.weight"):
        trainer.load_model(cfg.OUTPUT_DIR, epoch=1) if use == "load" else trainer.train()


def test_outputs_of_nan_have_no_accuracy(make_cfg):
    evaluator = Classification(make_cfg(), lab2cname=dict(enumerate("abc")))
    logits, label = torch.zeros(2, 3), torch.tensor([0, 2])
    logits[1, :2] = -math.inf  # classes that are ruled out
    evaluator.process(logits, label)
    assert evaluator.evaluate()["accuracy"] == 100.0
    for bad in (math.nan, math.inf):
        logits[1, 0] = bad
        with pytest.raises(InputError, match="infinite or NaN for 1 of 2 images"):
            evaluator.process(logits, label)
