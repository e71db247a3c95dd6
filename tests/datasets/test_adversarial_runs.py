"""TEST.ADV_SET in whole runs: any method, any half of the classes, no cache mixed up, refusals with one sentence."""

from __future__ import annotations

import csv
import json

import pytest
import torch
from helpers import Tiny as TinySet  # noqa: F401  registers the dataset
from helpers import make_clip

from datasets.__main__ import main
from datasets.adversarial import AdversarialItems
from datasets.attacked.store import AdversarialSet
from runs import one_run

CASES = [
    ("ZeroshotCLIP", "base"),
    ("CoOp", "base"),
    ("CoOp", "new"),
    ("CoCoOp", "new"),
    ("MaPLe", "base"),
    ("ANPrompt", "new"),
]
PLUGIN = """
import torch
from dassl.engine import TRAINER_REGISTRY, TrainerX

@TRAINER_REGISTRY.register()
class PlainNet(TrainerX):
    '''A trainer that knows nothing of CLIP.'''

    def build_model(self):
        torch.manual_seed(0)
        self.model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, self.num_classes))
        self.register_model("model", self.model)
"""


@pytest.fixture(autouse=True)
def methods_as_they_start(monkeypatch):
    """Untrained methods are tested here, which train.py refuses: what counts is which pictures they are shown."""
    monkeypatch.setattr(one_run, "check_model_given", lambda *_: None)


@pytest.fixture(scope="module")
def sets(tiny, tmp_path_factory):
    """Sets of the classes base, new and all, by the name of the half."""
    folder = tmp_path_factory.mktemp("sets")
    found = {}
    for half in ("base", "new", "all"):
        pairs = {"DATASET.SUBSAMPLE_CLASSES": half, "ATTACK.DIR": folder / "adv", "TEST.ADV_SET": "make",
                 "ATTACK.EPS": 16.0, "ATTACK.STEPS": 4}  # fmt: skip
        assert tiny.run(folder / half, "ZeroshotCLIP", ("--eval-only",), pairs) == 0
        record = json.loads((folder / half / "results.json").read_text())
        found[half] = next((folder / "adv" / "Tiny").glob(f"test-{half}-*"))
        assert found[half].name.endswith(record["adversarial"]["key"][:12])
    return found


def evaluated(tiny, folder, method, adv, half="base", **pairs):
    """A run's record."""
    settings = {"DATASET.SUBSAMPLE_CLASSES": half, **({"TEST.ADV_SET": adv} if adv else {}), **pairs}
    assert tiny.run(folder, method, ("--eval-only",), settings) == 0
    return json.loads((folder / "results.json").read_text())


def expected(trainer_logits, adv: AdversarialSet, mean, std) -> float:
    """Accuracy over the stored pictures, by hand."""
    x = torch.stack([adv.picture(i) for i in range(len(adv))]).float() / 255
    x = (x - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
    label = torch.tensor([row["label"] for row in adv.rows])
    return 100.0 * (trainer_logits(x).argmax(1) == label).float().mean().item()


@pytest.mark.parametrize(("method", "half"), CASES)
def test_every_method_is_scored_on_the_stored_pictures(tiny, tmp_path, sets, method, half):
    record = evaluated(tiny, tmp_path / "adv", method, sets[half], half)
    trainer = tiny.trainer(tmp_path / "again", method, {"DATASET.SUBSAMPLE_CLASSES": half})
    trainer.set_model_mode("eval")
    given, adv = trainer.cfg.INPUT, AdversarialSet(sets[half])
    with torch.no_grad():
        wanted = expected(trainer.model_inference, adv, given.PIXEL_MEAN, given.PIXEL_STD)
    assert record["results"]["accuracy"] == pytest.approx(wanted)
    facts = record["adversarial"]
    assert (facts["attack"], facts["eps"], facts["mode"]) == ("pgd", "16/255", "transfer")
    assert facts["key"] == adv.key and facts["images"] == len(adv) == record["results"]["total"]


def test_the_surrogate_itself(tiny, tmp_path, sets):
    """Zero-shot CLIP with the surrogate's prompt has the accuracy that the set says it has."""
    record = evaluated(tiny, tmp_path, "ZeroshotCLIP", sets["all"], "all")
    assert record["results"]["accuracy"] == pytest.approx(record["adversarial"]["totals"]["accuracy"])
    assert record["adversarial"]["totals"]["clean_accuracy"] > record["results"]["accuracy"]


def test_a_trainer_without_clip(tiny, tmp_path, sets):
    plugin = tmp_path / "plain_net.py"
    plugin.write_text(PLUGIN)
    flags, pairs = ("--eval-only", "--plugin", plugin), {"TEST.ADV_SET": sets["base"]}
    assert tiny.run(tmp_path / "adv", "PlainNet", flags, pairs) == 0
    assert tiny.run(tmp_path / "clean", "PlainNet", flags) == 0
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 3))
    record = json.loads((tmp_path / "adv" / "results.json").read_text())
    with torch.no_grad():
        wanted = expected(net, AdversarialSet(sets["base"]), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert record["results"]["accuracy"] == pytest.approx(wanted)
    assert json.loads((tmp_path / "clean" / "results.json").read_text())["adversarial"] is None


def test_features_of_clean_and_attacked_pictures_stay_apart(tiny, tmp_path, sets):
    """CoOp's tower is frozen: whatever came first, a test gets the features of its own pictures."""
    weaker = {"TEST.ADV_SET": "make", "ATTACK.NAME": "noise", "ATTACK.EPS": 8.0, "ATTACK.DIR": tmp_path / "adv"}
    kinds = {"clean": {}, "attacked": {"TEST.ADV_SET": sets["base"]}, "noisy": weaker}
    logits = {}
    for name in (*kinds, *kinds):
        for bank in (True, False):
            trainer = tiny.trainer(tmp_path / name, "CoOp", kinds[name])
            trainer.set_model_mode("eval")
            loader = trainer.banked(trainer.test_loader) if bank else trainer.test_loader
            found = torch.cat([trainer.model_inference(batch["img"]).detach() for batch in loader])
            torch.testing.assert_close(found, logits.setdefault(name, found))
    for one, other in (("clean", "attacked"), ("clean", "noisy"), ("attacked", "noisy")):
        assert not torch.allclose(logits[one], logits[other], atol=1e-3)


def test_items_and_pictures(tiny, tmp_path, sets):
    """Dassl's keys, labels and paths of the clean list; `img` normalised; the 8-bit picture beside it."""
    trainer = tiny.trainer(tmp_path / "adv", "CoOp", {"TEST.ADV_SET": sets["base"]})
    clean = tiny.trainer(tmp_path / "clean", "CoOp")
    items, adv = trainer.dm.dataset.test, AdversarialSet(sets["base"])
    for attacked, usual in zip(trainer.test_loader.dataset.wrapped, clean.test_loader.dataset.wrapped, strict=True):
        assert set(attacked) == {"img", "label", "target", "gttarget", "domain", "impath", "index"}
        assert all(attacked[key] == usual[key] for key in set(attacked) - {"img"})
        u8 = items.adversarial.picture(attacked["index"])
        assert torch.equal(u8, adv.picture(attacked["index"])) and torch.equal(u8, items.picture(attacked["impath"]))
        given = trainer.cfg.INPUT
        mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (given.PIXEL_MEAN, given.PIXEL_STD))
        assert torch.equal(attacked["img"], (u8.float() / 255 - mean) / std)
        assert not torch.equal(attacked["img"], usual["img"])
    assert isinstance(items[2:5], AdversarialItems) and len(items[2:5]) == 3  # a part does not fall back to clean files
    for name in ("train_x", "val"):
        assert not isinstance(getattr(trainer.dm.dataset, name), AdversarialItems)


def test_workers_read_the_same(tiny, tmp_path, sets):
    two = []
    for workers in (0, 1):
        pairs = {"TEST.ADV_SET": sets["base"], "DATALOADER.NUM_WORKERS": workers}
        loader = tiny.trainer(tmp_path / str(workers), "CoOp", pairs).test_loader
        two.append(torch.cat([batch["img"] for batch in loader]))
        loader.stop_workers()
    assert torch.equal(*two)


def test_the_clean_control(tiny, tmp_path):
    """Attack none: the accuracy of the ordinary path, to the last logit."""
    pairs = {"TEST.ADV_SET": "make", "ATTACK.NAME": "none", "ATTACK.DIR": tmp_path / "adv"}
    record = evaluated(tiny, tmp_path / "control", "CoOp", None, **pairs)
    plain = evaluated(tiny, tmp_path / "plain", "CoOp", None)
    assert record["results"] == plain["results"] and record["adversarial"]["attack"] == "none"
    trainers = [tiny.trainer(tmp_path / str(i), "CoOp", p) for i, p in enumerate([pairs, {}])]
    for a, b in zip(*(t.test_loader for t in trainers), strict=True):
        assert torch.equal(a["img"], b["img"])


def test_training_and_its_random_numbers_do_not_notice(tiny, tmp_path, sets):
    pairs = {"OPTIM.MAX_EPOCH": 1}
    assert tiny.run(tmp_path / "adv", "CoOp", (), pairs | {"TEST.ADV_SET": sets["base"]}) == 0
    makes = {"TEST.ADV_SET": "make", "ATTACK.STEPS": 1, "ATTACK.DIR": tmp_path / "x"}
    assert tiny.run(tmp_path / "make", "CoOp", (), pairs | makes) == 0
    assert tiny.run(tmp_path / "clean", "CoOp", (), pairs) == 0
    learned = [
        torch.load(tmp_path / name / "prompt_learner" / "model.pth.tar-1", weights_only=True)["state_dict"]["ctx"]
        for name in ("adv", "make", "clean")
    ]
    assert torch.equal(learned[0], learned[2]) and torch.equal(learned[1], learned[2])


def test_validation_sets(tiny, tmp_path):
    pairs = {"TEST.SPLIT": "val", "ATTACK.STEPS": 2, "ATTACK.DIR": tmp_path / "adv", "TEST.ADV_SET": "make"}
    record = evaluated(tiny, tmp_path / "val", "CoOp", None, **pairs)
    folder = next((tmp_path / "adv" / "Tiny").glob("val-base-*"))
    assert record["adversarial"]["images"] == len(AdversarialSet(folder)) == record["results"]["total"] == 6
    assert tiny.run(tmp_path / "test", "CoOp", ("--eval-only",), {"TEST.ADV_SET": folder}) == 2


def test_a_subset_is_a_part_of_the_list(tiny, tmp_path):
    pairs = {"ATTACK.SUBSET": 5, "ATTACK.STEPS": 2, "ATTACK.DIR": tmp_path / "adv", "TEST.ADV_SET": "make"}
    record = evaluated(tiny, tmp_path / "run", "CoOp", None, **pairs)
    assert record["results"]["total"] == 5


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ({"TEST.ADV_SET": "nowhere"}, "is no folder"),
        ({"TEST.ADV_SET": "abcdef0123"}, "have the key"),
        ({"ATTACK.EPS": 2.0}, "ATTACK.EPS has no effect without an attack"),
        ({"DATASET.SUBSAMPLE_CLASSES": "new"}, "made for subsample base"),
        ({"INPUT.INTERPOLATION": "nearest"}, "made for preprocessing"),
        ({"ATTACK.EPS": 2.0, "TEST.ADV_SET": "set"}, "no effect on a set that is made"),
        ({"ATTACK.MODE": "Z", "TEST.ADV_SET": "make"}, "MODE is 'Z'"),
        ({"ATTACK.NAME": "apgd-dlr-t", "TEST.ADV_SET": "make"}, "at least 4 classes, but there are 3"),
    ],
)
def test_bad_input_is_one_sentence(tiny, tmp_path, sets, capsys, pairs, says):
    if pairs.get("TEST.ADV_SET") == "set" or not (set(pairs) & {"TEST.ADV_SET", "ATTACK.EPS"}):
        pairs = pairs | {"TEST.ADV_SET": sets["base"]}
    assert tiny.run(tmp_path / "run", "CoOp", ("--eval-only",), pairs) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and says in error and error.count("\n") == 0
    assert not (tmp_path / "run").exists()


def test_another_backbone_is_refused_unless_the_run_says_so(tiny, tmp_path, sets, capsys):
    other = make_clip(tmp_path / "other.safetensors", seed=5)
    pairs = {"TEST.ADV_SET": sets["base"], "MODEL.BACKBONE.PATH": other}
    assert tiny.run(tmp_path / "run", "CoOp", ("--eval-only",), pairs) == 2
    assert "made against clip.safetensors with other weights than this run's" in capsys.readouterr().err
    assert tiny.run(tmp_path / "run", "CoOp", ("--eval-only",), pairs | {"ATTACK.MODE": "X"}) == 0
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(tiny.backbone.read_bytes())
    assert tiny.run(tmp_path / "copy", "CoOp", ("--eval-only",), pairs | {"MODEL.BACKBONE.PATH": copy}) == 0


@pytest.mark.parametrize("row", [0, 1])
def test_other_pixels_are_refused(tiny, tmp_path, sets, capsys, row):
    """The same list, but an image file has changed since, be it one of those that are always looked at or not."""
    from PIL import Image

    adv = AdversarialSet(sets["base"])
    file = tiny.root / "tiny" / "images" / adv.rows[row]["path"]
    before = file.read_bytes()
    try:
        Image.new("RGB", (20, 20), "red").save(file)
        assert tiny.run(tmp_path / "run", "CoOp", ("--eval-only",), {"TEST.ADV_SET": sets["base"]}) == 2
        assert "made from other pixels" in capsys.readouterr().err
    finally:
        file.write_bytes(before)


def test_a_clean_runs_identity_is_what_it_was(tiny, tmp_path, sets):
    evaluated(tiny, tmp_path / "clean", "CoOp", None)
    first = (tmp_path / "clean" / "config.yaml").read_text()
    assert "\nATTACK:" not in first and '"ATTACK.' not in first and "ADV_SET" not in first
    evaluated(tiny, tmp_path / "adv", "CoOp", sets["base"])
    assert "ADV_SET" in (tmp_path / "adv" / "config.yaml").read_text().partition("\n")[0]
    assert tiny.run(tmp_path / "clean", "CoOp", ("--eval-only",), {"TEST.ADV_SET": sets["base"]}) == 2


# ---------------------------------------------------------------------- the command


def test_the_command(tiny, tmp_path, capsys):
    args = ["attack", "Tiny", "--root", str(tiny.root), "--backbone-path", str(tiny.backbone), "--dir", str(tmp_path)]
    args += ["--eps", "8", "--steps", "3", "--subsample", "base", "--batch", "6"]
    assert main(args) == 0
    shown = capsys.readouterr()
    folder = next((tmp_path / "Tiny").iterdir())
    adv = AdversarialSet(folder)
    assert f"TEST.ADV_SET {folder}" in shown.out and adv.key in shown.out and "8/255" in shown.out
    clean, floats, stored = (f"{adv.totals[k]:.1f}" for k in ("clean_accuracy", "float_accuracy", "accuracy"))
    row = next(line for line in shown.out.splitlines() if line.startswith("pgd"))
    assert row.split()[2:6] == ["12", clean, floats, stored]
    assert [r["path"] for r in csv.DictReader((folder / "table.csv").open())] == [r["path"] for r in adv.rows]
    # a run that preprocesses in the same way takes it
    stats = {
        "INPUT.PIXEL_MEAN": [0.48145466, 0.4578275, 0.40821073],
        "INPUT.PIXEL_STD": [0.26862954, 0.26130258, 0.27577711],
    }
    record = evaluated(tiny, tmp_path / "run", "CoOp", folder, **{"INPUT.INTERPOLATION": "bicubic", **stats})
    assert record["adversarial"]["key"] == adv.key
    before = folder.joinpath("manifest.json").stat().st_mtime_ns
    assert main(args) == 0  # there already
    assert folder.joinpath("manifest.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (["--attack", "pdg"], "nearest: pgd"),
        (["--eps", "-1"], "EPS is -1"),
        (["--eps", "1", "--alpha", "3"], "ALPHA is 3"),
        (["--quant", "none"], "never stored"),
        (["--preset", "vit", "--eps", "1"], "PRESET vit"),
        (["--backbone", "RN51"], "RN51"),
        (["--subset", "99"], "SUBSET is 99"),
    ],
)
def test_the_commands_bad_input(tiny, tmp_path, capsys, extra, says):
    path = [] if "--backbone" in extra else ["--backbone-path", str(tiny.backbone)]
    args = ["attack", "Tiny", "--root", str(tiny.root), *path, "--dir", str(tmp_path / "adv"), *extra]
    assert main(args) == 2
    error = capsys.readouterr().err
    assert says in error and error.strip().splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "adv").exists()
