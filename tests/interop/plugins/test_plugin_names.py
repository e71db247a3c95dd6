"""A fork's own CoOp beside ours, without an edit: `CoOp@PromptSRC`."""

from __future__ import annotations

import shutil

import pytest
from forks import OF_FIELD, PETS, make_fork, write
from plugin_files import COOP, record, write_pets

from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import InputError
from interop.plugins.listing import listing
from interop.plugins.loading import load_plugin, load_plugins
from interop.plugins.names import as_label, from_folder, take_label
from interop.plugins.places import place_of
from robustness.one_evaluation import evaluate
from robustness.run import Options
from runs.predictor import load_predictor
from trainers import kgcoop

ONE = {"OPTIM.MAX_EPOCH": 1, "DATASET.NUM_SHOTS": 1}
SEES = "assert (cfg.TRAINER.NAME, cfg.DATASET.NAME) == ('CoOp', 'Tiny')"
FREE = """
from dassl.engine import TRAINER_REGISTRY, TrainerX


@TRAINER_REGISTRY.register({})
class {}(TrainerX):
    pass
"""


@pytest.fixture(scope="module")
def fork(tmp_path_factory):
    return make_fork(tmp_path_factory.mktemp("forks") / "PromptSRC", CoOp=SEES)


@pytest.fixture(scope="module")
def flags(fork):
    return "--plugin", fork / "trainers" / "coop.py", "--plugin-cfg", fork / "train.py"


@pytest.fixture(scope="module")
def trained(tiny, flags, tmp_path_factory):
    """The same settings with the fork's and with ours, while the fork is loaded."""
    folder = tmp_path_factory.mktemp("trained")
    assert tiny.run(folder / "theirs", "CoOp@PromptSRC", flags, ONE) == 0
    assert tiny.run(folder / "ours", "CoOp@RobustPrompt", flags, ONE) == 0
    return folder


def test_both_run_under_their_names(trained, tiny, tmp_path):
    theirs, ours = record(trained / "theirs"), record(trained / "ours")
    assert theirs["trainer"] == "CoOp@PromptSRC" and theirs["plugins"]["trainer"]["from"].endswith("coop.py")
    assert ours["trainer"] == "CoOp" and ours["plugins"] is None
    assert theirs["settings_hash"] != ours["settings_hash"]
    assert tiny.run(tmp_path / "plain", "CoOp", (), ONE) == 0  # what is beside it does not make it another run
    assert record(tmp_path / "plain")["settings_hash"] == ours["settings_hash"]


def test_a_plain_name_that_two_have_is_refused_with_the_way(tiny, fork, flags, tmp_path, capsys):
    assert tiny.run(tmp_path / "run", "CoOp", flags, ONE) == 2
    (line,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith("error:")]
    assert f"--trainer CoOp@PromptSRC for that of plugin {fork / 'trainers' / 'coop.py'}" in line
    assert "CoOp@RobustPrompt for that of this project" in line and not (tmp_path / "run").exists()
    assert tiny.run(tmp_path / "run", "CoOp@Other", flags, ONE) == 2
    assert "There is no trainer CoOp@Other; there is CoOp@PromptSRC" in capsys.readouterr().err
    assert tiny.run(tmp_path / "run", "FieldCoOp@RobustPrompt", flags, ONE) == 2
    assert "this project has no trainer FieldCoOp" in capsys.readouterr().err


def test_a_checkpoint_of_theirs_is_none_of_ours(trained, tiny, flags, tmp_path, capsys):
    shutil.copytree(trained / "theirs", tmp_path / "run")
    assert tiny.run(tmp_path / "run", "CoOp", (), ONE) == 2
    assert "TRAINER.NAME 'CoOp@PromptSRC' there, 'CoOp' here" in capsys.readouterr().err
    (tmp_path / "run" / "results.json").unlink()
    (tmp_path / "run" / "config.yaml").unlink()
    assert tiny.run(tmp_path / "run", "FieldCoOp", flags, ONE) != 0  # nor to go on from, though its shapes would do
    said = capsys.readouterr().err
    assert "error: " in said and "CoOp@PromptSRC" in said


def test_it_is_attacked(trained, tiny, flags, tmp_path):
    attack = {"ATTACK.MODE": "W", "ATTACK.EPS": 64.0, "ATTACK.STEPS": 1, "ATTACK.DIR": tmp_path / "adv"}
    test = (*flags, "--eval-only", "--model-dir", trained / "theirs", "--load-epoch", 1)
    assert evaluate(tiny.arguments(tmp_path / "W", "CoOp@PromptSRC", test, ONE | attack), Options()) == 0
    found = record(tmp_path / "W")
    assert found["trainer"] == "CoOp@PromptSRC"
    assert found["figures"]["clean"]["accuracy"] == pytest.approx(record(trained / "theirs")["results"]["accuracy"])


def test_evaluators_and_hosts_of_sar(tmp_path, tiny, capsys):
    text = (
        "from dassl.evaluation import EVALUATOR_REGISTRY, EvaluatorBase\n\n@EVALUATOR_REGISTRY.register()\n"
        "class Classification(EvaluatorBase):\n    pass\n"
    )
    file = write(tmp_path / "Eva" / "trainers" / "evaluator.py", text)
    assert tiny.run(tmp_path / "run", "CoOp", ("--plugin", file), ONE) == 2
    assert "give TEST.EVALUATOR Classification@Eva" in capsys.readouterr().err
    own = "from dassl.engine import TRAINER_REGISTRY\nimport trainers.coop as ours\n\n@TRAINER_REGISTRY.register()\n"
    host = write(tmp_path / "Sar" / "methods" / "host.py", own + "class TCP(ours.CoOp):\n    pass\n")
    pairs = ONE | {"TRAINER.SAR.ENABLED": True}
    assert tiny.run(tmp_path / "run", f"TCP@{place_of(host).label}", ("--plugin", host), pairs) == 2
    assert "TCPSAR extends this project's TCP" in capsys.readouterr().err


def test_it_predicts(trained, tiny):
    image = next((tiny.root / "tiny" / "images").glob("1_test*"))
    predictor = load_predictor(trained / "theirs")
    assert predictor.cfg.TRAINER.NAME == "CoOp@PromptSRC" and len(predictor(image)) == 3


def test_a_free_name_goes_with_and_without_its_label(tmp_path):
    file = write(tmp_path / "My Fork!" / "trainers" / "foo.py", FREE.format("", "LabelFree"))
    kind = load_plugin(file).LabelFree
    assert TRAINER_REGISTRY.get("LabelFree") is TRAINER_REGISTRY.get("LabelFree@My-Fork") is kind
    assert load_plugin(f"Mine={file}").LabelFree is kind is TRAINER_REGISTRY.get("LabelFree@Mine")
    lines = [" ".join(line.split()) for line in listing([]).splitlines()]
    assert f"trainer LabelFree plugin {file}" in lines and not any("LabelFree@" in line for line in lines)


def test_a_base_class_of_a_taken_name_in_the_same_file(tmp_path):
    """And a class that would replace ours by force."""
    text = FREE.format("force=True", "CoOp") + "\n\n@TRAINER_REGISTRY.register()\nclass APTLike(CoOp):\n    pass\n"
    ours = TRAINER_REGISTRY.get("CoOp")
    module = load_plugin(write(tmp_path / "APT" / "apt" / "trainers" / "apt.py", text))
    assert TRAINER_REGISTRY.get("APTLike") is module.APTLike and TRAINER_REGISTRY.get("CoOp") is ours
    assert TRAINER_REGISTRY.get("CoOp@apt") is module.CoOp is module.APTLike.__mro__[1]


def test_two_checkouts_of_one_name_need_labels(tmp_path):
    files = [write(tmp_path / part / "CoOp" / "trainers" / "coop.py", FREE.format("", "CoOp")) for part in "ab"]
    one, two = load_plugins(files), [f"A={files[0]}", f"B={files[1]}"]
    assert len(one) == 1 and "the trainer name CoOp@CoOp is taken" in one[0].sentence
    assert "--plugin LABEL=" in one[0].sentence and load_plugins(two) == []
    assert TRAINER_REGISTRY.get("CoOp@A") is not TRAINER_REGISTRY.get("CoOp@B")
    # an earlier run's checkout of the name is not in the way of a later one's
    assert load_plugins(files[1:]) == [] and TRAINER_REGISTRY.get("CoOp@CoOp") is TRAINER_REGISTRY.get("CoOp@B")
    with pytest.raises(InputError, match="stands for this project"):
        place_of(f"RobustPrompt={files[0]}")


def test_the_file_that_is_asked_for_goes_before_its_neighbours(tmp_path):
    write(tmp_path / "trainers" / "old.py", FREE.format("", "TwiceHere"))
    file = write(tmp_path / "trainers" / "new.py", "from trainers import old\n" + FREE.format("", "TwiceHere"))
    module = load_plugin(file)
    assert TRAINER_REGISTRY.get("TwiceHere") is module.TwiceHere is not module.old.TwiceHere


def test_labels():
    assert [as_label(text) for text in ("CoOp", "../x y", "..", "a@b/c")] == ["CoOp", "x-y", "plugin", "a-b-c"]
    assert take_label("SRC=../x.py") == ("SRC", "../x.py") and take_label("../a=b/x.py") == ("", "../a=b/x.py")
    assert from_folder("SRC=x.py", COOP) == f"SRC={COOP / 'x.py'}" and from_folder("x.py", COOP) == str(COOP / "x.py")


# ---------------------------------------------------------------------- datasets


@pytest.fixture(scope="module")
def pets(fork, tmp_path_factory):
    root = tmp_path_factory.mktemp("pets")
    write_pets(root)
    return root, write(fork / "datasets" / "their_pets.py", PETS)


def test_a_dataset_of_a_taken_name(pets, tiny, tmp_path, capsys, monkeypatch):
    """Our trainer finds the templates of the plain name: its data is the fork's."""
    root, file = pets
    asked = []
    monkeypatch.setattr(kgcoop, "custom_template", lambda *given: asked.append(given) or "a photo of a {}.")
    pairs = ONE | {"DATASET.NAME": "OxfordPets@PromptSRC", "DATASET.ROOT": root}
    assert tiny.run(tmp_path / "run", "KgCoOp", ("--plugin", file), pairs) == 0
    found = record(tmp_path / "run")
    assert found["dataset"] == "OxfordPets@PromptSRC" and found["classnames"] == ["grey_cat", "old_dog"]
    assert found["plugins"]["dataset"]["from"] == f"plugin {file}"
    assert asked == [("OxfordPets", "kg")]
    assert DATASET_REGISTRY.get("OxfordPets").__module__ == "datasets.oxford_pets"
    assert tiny.run(tmp_path / "none", "KgCoOp", ("--plugin", file), pairs | {"DATASET.NAME": "OxfordPets"}) == 2
    assert "give DATASET.NAME OxfordPets@PromptSRC" in capsys.readouterr().err


def test_both_may_be_a_forks(pets, tiny, flags, tmp_path):
    root, file = pets
    pairs = ONE | {"DATASET.NAME": "OxfordPets@PromptSRC", "DATASET.ROOT": root}
    own = write(
        flags[1].parent / "coop2.py", OF_FIELD.format(name="KgCoOp", body="assert cfg.DATASET.NAME == 'OxfordPets'")
    )
    more = ("--plugin", own, "--plugin-cfg", flags[3], "--plugin", file)
    assert tiny.run(tmp_path / "run", "KgCoOp@PromptSRC", more, pairs) == 0
    assert record(tmp_path / "run")["classnames"] == ["grey_cat", "old_dog"]
