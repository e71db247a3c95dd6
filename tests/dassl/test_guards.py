"""What must hold before a training, whoever wrote trainer and dataset: no test image is learned from or chooses."""

import os
import shutil

import pytest
import torch
import toy
from PIL import Image

from dassl.data.datasets import Datum
from dassl.engine import SimpleNet, SimpleTrainer, build_trainer
from dassl.engine.class_rows import check_classes
from dassl.utils import InputError


def no_val(trainer):
    trainer.val_loader = trainer.dm.dataset._val = None


def val_is_test(trainer):
    trainer.dm.dataset._val = trainer.dm.dataset._test


def one_image_in_both(trainer):
    item = trainer.dm.dataset.test[3]
    folder, name = os.path.split(item.impath)
    twice = Datum(os.path.join(folder, "..", os.path.basename(folder), name), item.label)  # spelled in another way
    trainer.dm.dataset._train_x = [*trainer.dm.dataset.train_x, twice]


def link(trainer, kind):
    """A training image that is a test image under another path."""
    item = trainer.dm.dataset.test[3]
    folder = os.path.join(trainer.output_dir, "linked")
    os.makedirs(folder)
    path = os.path.join(folder, os.path.basename(item.impath))
    if kind == "linked folder":
        os.symlink(os.path.dirname(item.impath), os.path.join(folder, "there"))
        path = os.path.join(folder, "there", os.path.basename(item.impath))
    else:
        {"symlink": os.symlink, "hard link": os.link, "copy": shutil.copy}[kind](item.impath, path)
    trainer.dm.dataset._train_x = [*trainer.dm.dataset.train_x, Datum(path, item.label)]


def symlinked(trainer):
    link(trainer, "symlink")


def hard_linked(trainer):
    link(trainer, "hard link")


def in_a_linked_folder(trainer):
    link(trainer, "linked folder")


def declared(trainer):
    trainer.dm.dataset.test_only, trainer.dm.dataset.train_on = True, "Toys"


@pytest.mark.parametrize(
    ("change", "opts", "says"),
    [
        (declared, (), "ToyFolder is for testing only.*train on Toys"),
        (one_image_in_both, (), "1 image of its test list in its training list"),
        (symlinked, (), "1 image of its test list in its training list.*the same file as .*8.png"),
        (hard_linked, (), "1 image of its test list in its training list.*the same file as"),
        (in_a_linked_folder, (), "1 image of its test list in its training list.*the same file as"),
        (no_val, ("TEST.FINAL_MODEL", "best_val"), "best_val, but ToyFolder has no validation images.*last_step"),
        (val_is_test, ("TEST.FINAL_MODEL", "best_val"), "8 validation images of ToyFolder are test images"),
    ],
)
def test_refused_before_anything_is_trained(make_cfg, change, opts, says):
    trainer = build_trainer(make_cfg(*opts))
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    change(trainer)
    with pytest.raises(InputError, match=says):
        trainer.train()
    assert all(torch.equal(v, before[k]) for k, v in trainer.model.state_dict().items())
    if change is not no_val:
        trainer.test()  # testing goes on


def test_copies_of_test_images_are_spoken_of(make_cfg, capsys):
    trainer = build_trainer(make_cfg("OPTIM.MAX_EPOCH", 1))
    trainer.train()
    assert "are copies of test images" not in capsys.readouterr().out
    trainer = build_trainer(make_cfg("OPTIM.MAX_EPOCH", 1, "OUTPUT_DIR", f"{trainer.output_dir}-2"))
    link(trainer, "copy")
    trainer.train()
    assert "Warning: 1 training images are copies of test images" in capsys.readouterr().out


def test_without_a_test_or_without_learning_there_is_nothing_to_refuse(make_cfg):
    class Zeroshot(toy.ToyTrainer):
        def build_model(self):
            self.model = lambda image: torch.eye(4)[image.flatten(2).mean(2).argmax(1)]

    trainer = Zeroshot(make_cfg("TEST.FINAL_MODEL", "best_val"))
    declared(trainer)
    no_val(trainer)
    trainer.train()
    trainer = build_trainer(make_cfg("TEST.NO_TEST", True, "TEST.FINAL_MODEL", "best_val", "OPTIM.MAX_EPOCH", 1))
    no_val(trainer)
    trainer.train()


def test_a_missing_validation_split_is_told_when_the_trainer_is_built(make_cfg, monkeypatch):
    class Own(toy.ToyTrainer):
        """Tests in its own way, as trainers of the field do: the test set stands in."""

        def test(self, split=None):
            return 0.0

    build = SimpleTrainer.build_data_loader
    monkeypatch.setattr(Own, "build_data_loader", lambda self: (build(self), no_val(self)))
    with pytest.raises(InputError, match="TEST.SPLIT val.*ToyFolder has none"):
        Own(make_cfg("TEST.SPLIT", "val"))


@pytest.mark.parametrize("kind", ["empty", "cut off", "no image"])
def test_a_test_image_that_cannot_be_read_is_found_before_training(make_cfg, image_root, tmp_path, kind):
    shutil.copytree(os.path.join(image_root, "toy"), tmp_path / "data" / "toy")
    file = tmp_path / "data" / "toy" / "blue_thing" / "8.png"
    whole = file.read_bytes()
    file.write_bytes({"empty": b"", "cut off": whole[: len(whole) // 2], "no image": b"<html>"}[kind])
    trainer = build_trainer(make_cfg("DATASET.ROOT", str(tmp_path / "data")))
    with pytest.raises(InputError, match="blue_thing/8.png cannot be read.*before training"):
        trainer.train()
    assert not os.path.exists(os.path.join(trainer.output_dir, "prompt_learner"))


@pytest.mark.parametrize("what", ["file", "nowhere", "folder"])
def test_what_cannot_be_resumed_from_is_refused(make_cfg, tmp_path, what):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    says = {"file": "is a file", "nowhere": "does not exist", "folder": "holds no checkpoint"}[what]
    with pytest.raises(InputError, match=f"{what}, which {says}"):
        build_trainer(make_cfg("RESUME", str(tmp_path / what))).train()
    build_trainer(make_cfg("RESUME", make_cfg().OUTPUT_DIR, "OPTIM.MAX_EPOCH", 1)).train()  # the usual place


# ---------------------------------------------------------------------- resuming


def less(part):
    def change(trainer):
        items = getattr(trainer.dm.dataset, part)
        setattr(trainer.dm.dataset, f"_{part}", items[1:])

    return change


def wrong_label(trainer):
    trainer.dm.dataset.train_x[0].label = 3


def other_names(trainer):
    trainer.dm.dataset._classnames = trainer.dm.dataset.classnames[::-1]


def other_picture(trainer):
    item = trainer.dm.dataset.train_x[0]
    item._impath = os.path.join(trainer.output_dir, *item.impath.split(os.sep)[-2:])
    os.makedirs(os.path.dirname(item.impath), exist_ok=True)
    Image.new("RGB", (20, 28)).save(item.impath)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (less("train_x"), r"the training list \(20 images then, 19 now\)"),
        (less("val"), r"the validation list \(8 images then, 7 now\)"),
        (less("test"), r"the test list \(8 images then, 7 now\)"),
        (wrong_label, r"the training list \(other images or labels\)"),
        (other_names, "the class names"),
        (other_picture, "pictures of the same names"),
    ],
)
def test_a_run_does_not_go_on_over_other_data(make_cfg, change, says):
    build_trainer(make_cfg("OPTIM.MAX_EPOCH", 1)).train()
    trainer = build_trainer(make_cfg("OPTIM.MAX_EPOCH", 2))
    change(trainer)
    with pytest.raises(InputError, match=f"cannot be resumed: the data has changed since, {says}"):
        trainer.train()


def test_the_data_of_a_run_is_that_of_its_start(make_cfg):
    """Methods that mend labels on the way find themselves again."""

    class Mends(toy.ToyTrainer):
        def before_epoch(self):
            self.dm.dataset.train_x[0].label = 3

    Mends(make_cfg("OPTIM.MAX_EPOCH", 1)).train()
    Mends(make_cfg("OPTIM.MAX_EPOCH", 2)).train()


def test_an_old_checkpoint_goes_on_with_a_warning(make_cfg, capsys):
    cfg = make_cfg("OPTIM.MAX_EPOCH", 1)
    build_trainer(cfg).train()
    path = os.path.join(cfg.OUTPUT_DIR, "prompt_learner", "model.pth.tar-1")
    state = torch.load(path)
    del state["data"]
    torch.save(state, path)
    capsys.readouterr()
    build_trainer(make_cfg("OPTIM.MAX_EPOCH", 2)).train()
    assert f"Warning: {path} does not say which images it was trained on" in capsys.readouterr().out


# ---------------------------------------------------------------------- tensors with a row a class


class Contexts(torch.nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.ctx = torch.nn.Parameter(torch.zeros(shape))


class Declared(Contexts):
    class_tensors = ("prototypes",)


@pytest.mark.parametrize("model", [Contexts(2, 4, 8), Declared(4, 8)])
def test_tensors_with_a_row_a_class_are_for_the_classes_they_were_trained_on(model, capsys):
    names = {1: "green_thing", 0: "red thing"}
    for saved in (["red_thing", "green thing"], ["green_thing", "red_thing"]):  # old files: in the list's order
        check_classes(model, {"classnames": saved}, names, "file")
    with pytest.raises(InputError, match="file: .* has a row for each class .*blue.*green_thing"):
        check_classes(model, {"classnames": ["blue", "grey"]}, names, "file")
    assert not capsys.readouterr().out
    check_classes(model, {}, names, "file")
    assert "file does not name its classes" in capsys.readouterr().out
    with pytest.raises(InputError, match="this run's classes are others"):
        check_classes(model, {}, names, "file", same=False)


def test_what_all_classes_share_is_for_any(capsys):
    check_classes(Contexts(2, 8), {"classnames": ["blue", "grey"]}, {0: "a", 1: "b"}, "file")
    check_classes(Contexts(2, 8), {}, {0: "a", 1: "b"}, "file")
    assert not capsys.readouterr().out


def test_the_classifier_of_a_simple_net_is_of_its_classes():
    net = SimpleNet.__new__(SimpleNet)
    torch.nn.Module.__init__(net)
    net.classifier, net._fdim = torch.nn.Linear(3, 4), 3
    with pytest.raises(InputError, match="classifier.weight has a row for each class"):
        check_classes(net, {"classnames": ["a", "b", "c", "d"]}, dict(enumerate(toy.CLASSES)), "file")


def test_loading_looks_at_the_classes(make_cfg):
    class PerClass(toy.ToyTrainer):
        def build_model(self):
            super().build_model()
            self.model.class_tensors = ("3.weight",)

    PerClass(make_cfg("OPTIM.MAX_EPOCH", 1)).train()
    other = PerClass(make_cfg())
    other.load_model(other.output_dir, epoch=1)
    other.lab2cname = {i: f"thing {i}" for i in range(4)}
    with pytest.raises(InputError, match="3.weight has a row for each class"):
        other.load_model(other.output_dir, epoch=1)
