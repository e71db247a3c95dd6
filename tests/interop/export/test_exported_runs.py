"""Our methods in a checkout in CoOp's manner, on a Dassl that has what the description of its API says and no more."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch
from checkouts import (
    HERE,
    ROOT,
    accuracy,
    arguments,
    make_checkout,
    make_contract_dassl,
    make_pets,
    our_methods,
    python,
)
from helpers import make_clip

import train
from dassl.outputs.reading import read_outputs
from dassl.outputs.scores import scores
from runs.config_names import CONFIG_FOLDER
from trainers.__main__ import main

# The methods that are trained there: the folder of their checkpoints, and what their log has.
TRAINED = {
    "ANPrompt": ("prompt_learner", "loss_wa"),
    "DPSEP": ("prompt_learner", "loss_sep"),
    "MaPLe": ("MultiModalPromptLearner", "loss "),
    "PromptSRC": ("VLPromptLearner", "loss_scl_text"),
    "NLPrompt": ("prompt_learner", "Clean items in epoch 2"),  # chooses its batches itself
    "RobustPromptCoOp": ("prompt_learner", "loss "),  # the checkout has a CoOp of its own
}
SHORT = {"OPTIM__MAX_EPOCH": 2, "TRAIN__CHECKPOINT_FREQ": 1}
EUROSAT = ["DATASET.NAME", "EuroSAT"]


def two_lines(printed: str) -> tuple[str, str]:
    """What the export says must go into train.py: the import, and the call."""
    found = re.findall(r"^ {4}(\S.*?) {4}#", printed, re.M)
    assert len(found) == 2
    return found[0], found[1]


def here(given: list[str]) -> list[str]:
    """A run's arguments as they are in this tree, where the checkout's configs lie elsewhere."""
    return [str(HERE / "checkout" / x) if x.startswith("configs/") else x for x in given]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A checkout with all our methods in it, as the export says, after runs of some; the folder of it all."""
    folder, names = tmp_path_factory.mktemp("made"), our_methods()
    checkout, root = make_checkout(folder / "coop"), make_pets(folder / "data")
    clip, upstream = make_clip(folder / "clip.safetensors"), make_contract_dassl(folder / "upstream")
    with redirect_stdout(io.StringIO()) as printed:
        assert main(["export", *names, "--to", str(checkout)]) == 0
    imported, call = two_lines(printed.getvalue())
    text = (checkout / "train.py").read_text()
    text = text.replace("import trainers.coop", f"{imported}\nimport trainers.coop", 1)
    last = '    cfg.DATASET.SUBSAMPLE_CLASSES = "all"\n'
    (checkout / "train.py").write_text(text.replace(last, f"{last}    {call}\n", 1))

    runs = {name: arguments(root, folder / name, name, clip, **SHORT) for name in TRAINED}
    runs["RTPT"] = arguments(root, folder / "RTPT", "RTPT", clip, ("--eval-only",), TRAINER__TTA__N_VIEWS=4)
    flags = ("--eval-only", "--model-dir", folder / "MaPLe", "--load-epoch", 2)
    runs["new"] = arguments(root, folder / "new", "MaPLe", clip, flags, DATASET__SUBSAMPLE_CLASSES="new")
    runs["theirs"] = arguments(root, folder / "theirs", "CoOp")
    assert train.run(here(arguments(root, folder / "here", "CoOp", clip, **SHORT))) == 0
    flags = ("--eval-only", "--model-dir", folder / "here", "--load-epoch", 2)
    runs["back"] = arguments(root, folder / "back", "RobustPromptCoOp", clip, flags)
    steps = [{"run": given} for given in runs.values()]
    # as if PromptSRC had been interrupted after its first epoch
    steps += [{"write": {str(folder / "PromptSRC" / "VLPromptLearner" / "checkpoint"): "model.pth.tar-1\n"}}]
    steps += [{"run": runs["PromptSRC"]}]
    for name in names:
        for file in sorted((checkout / "configs" / "trainers" / CONFIG_FOLDER.get(name, name)).glob("*.yaml")):
            given = ["--trainer", name, "--config-file", str(file.relative_to(checkout))]
            steps.append({"config": given, "key": "TRAINER.NAME"})
    for name, key, pairs in (("ANPrompt", "SIM_W", []), ("ANPrompt", "SIM_W", ["3.0"]), ("JoAPR", "W", [])):
        key = f"TRAINER.{name.upper()}.{key}"
        given = ["--trainer", name, *EUROSAT, *([key, *pairs] if pairs else [])]
        steps.append({"config": given, "key": key})
    (folder / "steps.json").write_text(json.dumps(steps))
    done = python([HERE / "drive.py", folder / "steps.json"], checkout, upstream, folder / "cache")
    assert done.returncode == 0, done.stderr[-3000:]
    (folder / "stdout").write_text(done.stdout)
    return folder


@pytest.mark.parametrize("name", TRAINED)
def test_they_train_there(made, name):
    model, line = TRAINED[name]
    log = (made / name / "log.txt").read_text()
    assert "Finish training" in log and "epoch [2/2] batch [1/" in log and line in log
    assert 0 <= float(accuracy(made / name)) <= 100
    before, after = (
        torch.load(made / name / model / f"model.pth.tar-{epoch}", weights_only=True)["state_dict"] for epoch in (1, 2)
    )
    assert any(not torch.equal(after[key], before[key]) for key in after)
    stood_in = log.count("for 1 of 3 classes (house tiger); CLIP's templates are used instead")
    assert stood_in == (2 if name == "ANPrompt" else 0)  # main and noise
    if name == "ANPrompt":  # its other logits are counted by their test loop too
        assert len(re.findall(r"^\* (?:align|robust|final)_accuracy: [\d.]+%$", log, re.M)) == 3


def test_a_test_time_method_tests_there(made):
    log, found = (made / "RTPT" / "log.txt").read_text(), read_outputs(made / "RTPT" / "outputs.npz")
    assert "accuracy of the plain view, untuned" in log and "* total: 12" in log
    shown = scores(found.label, found.answer)
    assert f"{shown['accuracy']:.1f}" == accuracy(made / "RTPT") and shown.keys() >= {"nll", "brier", "ece"}
    assert found.others.keys() == {"before"} and len(found.path) == 12


def test_new_classes_and_their_own_trainer_go_on_as_before(made):
    assert "CoOp is registered here already; RobustPrompt's is RobustPromptCoOp" in (made / "stdout").read_text()
    assert "SUBSAMPLE NEW CLASSES!" in (made / "new" / "log.txt").read_text() and accuracy(made / "new")
    assert "Finish training" in (made / "theirs" / "log.txt").read_text()


@pytest.mark.parametrize("name", ["ANPrompt", "RobustPromptCoOp"])
def test_what_was_trained_there_has_the_same_accuracy_here(made, tmp_path, name):
    flags = ("--eval-only", "--model-dir", made / name, "--load-epoch", 2)
    ours = name.removeprefix("RobustPrompt")
    more = {"LANGUAGE__MISSING": "stand_in"}  # which is the default there
    assert train.run(here(arguments(made / "data", tmp_path, ours, made / "clip.safetensors", flags, **more))) == 0
    assert accuracy(tmp_path) == accuracy(made / name)


def test_what_was_trained_here_has_the_same_accuracy_there(made):
    assert accuracy(made / "back") == accuracy(made / "here")


def test_an_interrupted_run_goes_on_there_with_all_its_state(made):
    """PromptSRC refuses to go on without its average over the epochs, for which upstream's files have no place."""
    (log,) = (made / "PromptSRC").glob("log.txt-*")
    text = log.read_text()
    assert "will resume training" in text and "epoch [2/2]" in text and "epoch [1/2]" not in text


def test_every_config_can_be_merged_there(made):
    """What is published for a data set comes before the command line's pairs."""
    values = re.findall("^VALUE (.*)$", (made / "stdout").read_text(), re.M)
    assert len(values) > len(our_methods()) and set(values[:-3]) <= set(our_methods())
    assert values[-3:] == ["0.001", "3.0", "10"]


def test_nothing_of_it_came_from_this_tree(made):
    files = [Path(file) for file in re.findall("^FILE (/.*)$", (made / "stdout").read_text(), re.M)]
    ours = [file for file in files if file.is_relative_to(ROOT) and "site-packages" not in file.parts]
    assert set(ours) == {HERE / "drive.py"}
    assert made / "coop" / "robustprompt" / "clip" / "model.py" in files
    assert made / "coop" / "clip" / "model.py" in files  # and theirs, which is another
