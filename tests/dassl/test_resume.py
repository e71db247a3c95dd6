"""An interrupted run goes on where it stopped and ends with the same bits."""

import os

import pytest
import torch
import toy

from dassl.engine import build_trainer
from dassl.utils import InputError


class Interrupt(Exception):
    pass


def weights(trainer):
    return {k: v.clone() for k, v in trainer.model.state_dict().items()}


def run(cfg, stop_in_epoch=None, log=None):
    """Train; with `stop_in_epoch` (0-based) the run dies in the middle of it. `log` collects epoch, batch, lr, loss."""
    trainer = build_trainer(cfg)
    real = trainer.forward_backward

    def forward_backward(batch):
        if trainer.epoch == stop_in_epoch and trainer.batch_idx == 1:
            raise Interrupt
        lr = trainer.get_current_lr()
        out = real(batch)
        if log is not None:
            log.append((trainer.epoch, trainer.batch_idx, lr, out["loss"]))
        return out

    trainer.forward_backward = forward_backward
    if stop_in_epoch is None:
        trainer.train()
    else:
        with pytest.raises(Interrupt):
            trainer.train()
    return trainer


def listing(cfg, name="prompt_learner"):
    return sorted(os.listdir(os.path.join(cfg.OUTPUT_DIR, name)))


def same(a, b):
    return all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("final", ["last_step", "best_val"])
def test_resumed_equals_uninterrupted(make_cfg, tmp_path, optimizer, final):
    opts = ["OPTIM.NAME", optimizer, "TRAIN.ROLLING_SECONDS", 0, "TEST.FINAL_MODEL", final, "OPTIM.MAX_EPOCH", 6]
    whole_log, log = [], []
    whole = run(make_cfg(*opts, "OUTPUT_DIR", str(tmp_path / "whole")), log=whole_log)
    run(make_cfg(*opts), stop_in_epoch=2, log=log)
    torch.manual_seed(99)  # nothing may depend on the generators' state at the restart
    run(make_cfg(*opts), stop_in_epoch=4, log=log)
    resumed = run(make_cfg(*opts, "DATALOADER.NUM_WORKERS", 1), log=log)
    assert same(weights(whole), weights(resumed))
    last = {entry[:2]: entry for entry in log}  # an epoch that was broken off was done again
    assert list(last.values()) == whole_log
    assert resumed.best_result == whole.best_result
    assert resumed.evaluator.results == whole.evaluator.results


def test_rolling_files(make_cfg):
    cfg = make_cfg("TRAIN.ROLLING_SECONDS", 0, "TRAIN.CHECKPOINT_FREQ", 2, "OPTIM.MAX_EPOCH", 6)
    run(cfg, stop_in_epoch=1)
    assert listing(cfg) == ["checkpoint", "model.pth.tar-1"]
    run(cfg, stop_in_epoch=3)  # resumes at 1; saves 2 (regular), 3 (rolling)
    assert listing(cfg) == ["checkpoint", "model.pth.tar-2", "model.pth.tar-3"]
    run(cfg, stop_in_epoch=5)
    assert listing(cfg) == ["checkpoint", "model.pth.tar-2", "model.pth.tar-4", "model.pth.tar-5"]
    run(cfg)
    assert listing(cfg) == ["checkpoint", "model.pth.tar-2", "model.pth.tar-4", "model.pth.tar-6"]


def test_best_and_last_files_are_never_rolled_away(make_cfg):
    cfg = make_cfg("TRAIN.ROLLING_SECONDS", 0, "TEST.FINAL_MODEL", "best_val", "OPTIM.MAX_EPOCH", 3)
    run(cfg)
    assert listing(cfg) == ["checkpoint", "model-best.pth.tar", "model.pth.tar-3"]
    longer = make_cfg("TRAIN.ROLLING_SECONDS", 0, "OPTIM.MAX_EPOCH", 5)
    run(longer)  # going on with more epochs keeps the last file of the shorter run
    assert listing(cfg) == ["checkpoint", "model-best.pth.tar", "model.pth.tar-3", "model.pth.tar-5"]


def test_rolling_by_time(make_cfg, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("dassl.engine.rolling.time.monotonic", lambda: now[0])

    class Slow(toy.ToyTrainer):
        def before_epoch(self):
            now[0] += 20

    cfg = make_cfg("OPTIM.MAX_EPOCH", 5)
    trainer = Slow(cfg)
    saved = []
    monkeypatch.setattr(trainer, "save_model", lambda epoch, *args, **kwargs: saved.append(epoch + 1))
    trainer.train()
    assert saved == [2, 4, 5]  # every 30 s and at the end


def test_extra_state(make_cfg):
    """A method's own running state travels with the checkpoint."""

    class Averaging(toy.ToyTrainer):
        average = 0.0

        def after_epoch(self):
            self.average = 0.5 * self.average + self.epoch
            super().after_epoch()

        def extra_state(self):
            return {"average": self.average}

        def load_extra_state(self, state):
            self.average = state.get("average", 0.0)

    cfg = make_cfg("TRAIN.CHECKPOINT_FREQ", 1, "OPTIM.MAX_EPOCH", 3)
    first = Averaging(cfg)
    first.train()
    second = Averaging(cfg)
    second.train()
    assert second.average == first.average == 2.5


def test_stopped_between_two_models(make_cfg, capsys):
    """If a run dies between the saves of its models, the last epoch that all have is resumed."""

    class Two(toy.ToyTrainer):
        def build_model(self):
            super().build_model()
            self.register_model("second", torch.nn.Linear(1, 1))

    cfg = make_cfg("TRAIN.CHECKPOINT_FREQ", 1)
    Two(cfg).train()
    folder = os.path.join(cfg.OUTPUT_DIR, "second")
    os.unlink(os.path.join(folder, "model.pth.tar-4"))
    with open(os.path.join(folder, "checkpoint"), "w") as f:
        f.write("model.pth.tar-3\n")
    capsys.readouterr()
    Two(cfg).train()
    out = capsys.readouterr().out
    assert out.count("Previous epoch: 3\n") == 2
    assert "epoch [4/4]" in out
    assert "epoch [3/4]" not in out


def test_foreign_checkpoints_are_refused(make_cfg):
    run(make_cfg("OPTIM.MAX_EPOCH", 1))
    for key, value in (("SEED", 2), ("DATASET.NUM_SHOTS", 2), ("DATASET.SUBSAMPLE_CLASSES", "new")):
        with pytest.raises(InputError, match=f"{key} .* instead of .*another output folder"):
            run(make_cfg(key, value))
    run(make_cfg("OPTIM.MAX_EPOCH", 2))  # more epochs are welcome


def test_upstream_checkpoint_resumes(make_cfg, capsys):
    """A folder without our extra entries."""
    cfg = make_cfg("TRAIN.CHECKPOINT_FREQ", 1)
    run(cfg)
    path = os.path.join(cfg.OUTPUT_DIR, "prompt_learner", "model.pth.tar-2")
    state = torch.load(path)
    torch.save({k: state[k] for k in ("state_dict", "epoch", "optimizer", "scheduler", "val_result")}, path)
    with open(os.path.join(cfg.OUTPUT_DIR, "prompt_learner", "checkpoint"), "w") as f:
        f.write("model.pth.tar-2\n")
    capsys.readouterr()
    run(cfg)
    assert "Previous epoch: 2\n" in capsys.readouterr().out


def test_damaged_checkpoints(make_cfg):
    cfg = make_cfg("OPTIM.MAX_EPOCH", 1)
    run(cfg)
    path = os.path.join(cfg.OUTPUT_DIR, "prompt_learner", "model.pth.tar-1")
    with open(path, "r+b") as f:
        f.truncate(1000)
    with pytest.raises(InputError, match=f"{path} is damaged"):
        run(cfg)
    os.unlink(path)
    with pytest.raises(InputError, match="names the file 'model.pth.tar-1', which is not there"):
        run(cfg)


def test_unseeded_run_can_be_repeated(make_cfg, tmp_path, capsys):
    """SEED -1 draws a seed and logs it; that seed gives the same run."""
    from dassl.utils import base_seed, set_random_seed

    opts = ["DATASET.NUM_SHOTS", 2, "DATALOADER.TRAIN_X.BATCH_SIZE", 4]
    unseeded = run(make_cfg(*opts, "SEED", -1))
    seed = base_seed(make_cfg("SEED", -1))
    set_random_seed(seed)  # as an entry point does for a given seed
    again = run(make_cfg(*opts, "SEED", seed, "OUTPUT_DIR", str(tmp_path / "again")))
    assert same(weights(unseeded), weights(again))


def test_upstream_rng(make_cfg, tmp_path):
    """Upstream's draws: the global generators decide, and are not seeded again at each epoch."""
    opts = ["DATALOADER.UPSTREAM_RNG", True]
    results = []
    for seed in (1, 1, 2):
        trainer = build_trainer(make_cfg(*opts, "OUTPUT_DIR", str(tmp_path / str(len(results)))))
        torch.manual_seed(seed)
        trainer.train()
        results.append(weights(trainer))
    assert same(results[0], results[1])
    assert not same(results[0], results[2])


def test_a_run_is_not_resumed_beyond_its_epochs(make_cfg, tmp_path):
    run(make_cfg("OPTIM.MAX_EPOCH", 3, "OUTPUT_DIR", str(tmp_path / "three")))
    with pytest.raises(InputError, match="was trained for 3 epochs, but OPTIM.MAX_EPOCH is 2"):
        run(make_cfg("OPTIM.MAX_EPOCH", 2, "RESUME", str(tmp_path / "three")))


def test_a_state_that_the_method_cannot_take_up_is_one_sentence(make_cfg, monkeypatch):
    cfg = make_cfg("OPTIM.MAX_EPOCH", 3, "TRAIN.ROLLING_SECONDS", 0)
    run(cfg, stop_in_epoch=2)
    trainer = build_trainer(cfg)
    for error in (KeyError("mean"), TypeError("x"), RuntimeError("sizes"), AttributeError("get")):

        def refuse(state, error=error):
            raise error

        monkeypatch.setattr(trainer, "load_extra_state", refuse)
        with pytest.raises(InputError, match="its extra state does not fit this run"):
            trainer.train()
