"""What the guides teach works where a user will take it: under label noise and TRAINER.FILTER, interrupted and resumed,
and on attacked images. The code is read from the guides themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from helpers import cleanlab_stand_in
from PIL import Image

from interop.export.new import method_files
from trainers.base import PromptTrainer

DOCS = Path(__file__).resolve().parent.parent / "docs"
WRONG = (1, 4)  # of the training list, as the filter has it
HARD = {"DATASET.NOISE.TYPE": "sym_other", "DATASET.NOISE.RATE": 0.5, "TRAINER.FILTER": "cleanlab"}


@dataclass
class Example:
    """A method and the words of the command line that a guide gives for it."""

    method: str
    flags: tuple = ()
    pairs: dict = field(default_factory=dict)


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / document).read_text(encoding="utf-8"), re.S)


def plugins(source: str, folder: Path) -> Example:
    """A method of one's own, from outside the tree."""
    (name,) = re.findall(r"^class (\w+)\(\w*(?:CoOp|PromptTrainer)\):", source, re.M)
    file = folder / f"{name.lower()}.py"
    file.write_text(source)
    return Example(name, ("--plugin", file))


def method_guide(folder: Path) -> Example:
    (source,) = blocks("add_a_method.md", "python")
    return plugins(source, folder)


def generated_method(folder: Path) -> Example:
    """What `python -m trainers new` writes."""
    source = method_files("Generated")["trainers/generated.py"]
    return plugins(re.sub(r"^from \.", "from trainers.", source, flags=re.M), folder)


def own_images(folder: Path) -> Example:
    """The YAML of docs/own_data.md, and images as it describes them."""
    for label, name in enumerate(("cup", "plate")):
        for i in range(10):
            path = folder / "data" / "my_images" / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 20), (100 * label, 20 * i, 0)).save(path)
    (text,) = blocks("own_data.md", "yaml")
    config = folder / "my_images.yaml"
    config.write_text(text)
    pairs = {"DATASET.NAME": "Folder", "DATASET.SUBSAMPLE_CLASSES": "all", "DATASET.FOLDER.CLASSNAMES": ""}
    return Example("CoOp", ("--root", folder / "data", "--dataset-config-file", config), pairs)


def weights(folder: Path) -> dict:
    (file,) = folder.glob("*/model.pth.tar-3")
    return torch.load(file, weights_only=True)["state_dict"]


def stop_after_the_second_epoch(patch: pytest.MonkeyPatch) -> None:
    after_epoch = PromptTrainer.after_epoch

    def stopping(self) -> None:
        after_epoch(self)
        if self.epoch == 1:
            raise KeyboardInterrupt

    patch.setattr(PromptTrainer, "after_epoch", stopping)


@pytest.mark.parametrize("guide", [method_guide, generated_method, own_images])
def test_an_example_of_a_guide_under_noise_filter_attack_and_resume(
    tiny, tmp_path, monkeypatch, guide: Callable[[Path], Example]
):
    asked, example = cleanlab_stand_in(monkeypatch, WRONG), guide(tmp_path)
    pairs = example.pairs | HARD | {"TRAIN.ROLLING_SECONDS": 0}
    whole, broken, attacked = (tmp_path / name for name in ("whole", "broken", "attacked"))
    assert tiny.run(whole, example.method, example.flags, pairs) == 0
    record = json.loads((whole / "results.json").read_text())
    assert len(asked) == 1 and record["filter"]["kept"] == record["filter"]["of"] - len(WRONG)
    assert record["noise"]["type"] == "sym_other"

    with monkeypatch.context() as patch:
        stop_after_the_second_epoch(patch)
        assert tiny.run(broken, example.method, example.flags, pairs) == 130
    assert tiny.run(broken, example.method, example.flags, pairs) == 0
    first, second = weights(whole), weights(broken)
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)

    attack = {"TEST.ADV_SET": "make", "ATTACK.DIR": tmp_path / "adv", "ATTACK.STEPS": 2, "ATTACK.EPS": 16.0}
    flags = (*example.flags, "--eval-only", "--model-dir", whole, "--load-epoch", 3)
    assert tiny.run(attacked, example.method, flags, example.pairs | attack) == 0
    assert json.loads((attacked / "results.json").read_text())["adversarial"]["images"] > 0


@pytest.mark.parametrize("line", ["self.frozen_text = torch.ones(3)", "self.loss = torch.nn.CrossEntropyLoss()"])
def test_an_attribute_that_hides_a_method_is_refused(tiny, tmp_path, capsys, line):
    """The mistake that the method guide warns of."""
    (source,) = blocks("add_a_method.md", "python")
    source = "import torch\n" + source.replace("NearCoOp", "Hiding").replace("NEARCOOP", "HIDING")
    source = source.replace("        template =", f"        {line}\n        template =", 1)
    example = plugins(source, tmp_path)
    assert tiny.run(tmp_path / "run", example.method, example.flags) == 2
    name = line.partition(" ")[0].removeprefix("self.")
    assert f"Hiding sets self.{name} to a " in (said := capsys.readouterr().err) and "is a method" in said
    assert not list((tmp_path / "run").rglob("model.pth*"))


def test_a_function_may_stand_in_for_a_method(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path)
    trainer.image_logits = lambda features: features[:, :3]
    assert trainer.test_logits(torch.randn(2, 64))["logits"].shape == (2, 3)
