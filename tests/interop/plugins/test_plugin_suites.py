"""`bench` and the scripts with plugins: a suite names their files, workers load them."""

from __future__ import annotations

import json

import pytest
import yaml
from forks import PETS, TRAIN_PY, make_fork
from forks import write as write_file
from plugin_files import COOP, TRAINERS, cfg_file, record, trainer_file, write_pets

from bench.__main__ import main
from bench.drawing.results import results
from bench.reading.collect import collect
from bench.running.state import survey
from bench.running.work import work
from bench.suites.suite import read_suite
from dassl.utils import InputError
from runs.arguments import Settings
from runs.protocols import plan

SHORT = {
    "MODEL.BACKBONE.NAME": "", "INPUT.SIZE": "(16, 16)", "DATALOADER.NUM_WORKERS": 0, "OPTIM.MAX_EPOCH": 1,
    "DATALOADER.TRAIN_X.BATCH_SIZE": 4, "DATALOADER.TEST.BATCH_SIZE": 6, "TRAIN.TENSORBOARD": False,
}  # fmt: skip
ATTACK = {"attacks": ["pgd"], "eps": [64], "steps": [2]}


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    """Images for FieldPets, and a config of every trainer's, as a checkout has it."""
    folder = tmp_path_factory.mktemp("suites")
    write_pets(folder)
    (folder / "short.yaml").write_text("INPUT:\n  TRANSFORMS: ('normalize',)\nOPTIM:\n  LR: 0.05\n")
    return folder


def write(folder, tiny, name: str, blocks: list[dict], trainers=TRAINERS, **top):
    """The suite's paths begin at its own folder, which is not where it is run."""
    files = [trainer_file(trainer) for trainer in trainers] + [COOP / "datasets" / "field_pets.py"]
    tree = {
        "output": str(folder / name),
        "seeds": [1],
        "overrides": SHORT | {"MODEL.BACKBONE.PATH": str(tiny.backbone)},
        "plugins": [str(file) for file in files],
        "plugin_cfg": sorted({str(cfg_file(trainer)) for trainer in trainers}),
        "blocks": [{"datasets": ["field_pets"], "cfg": "short.yaml", "shots": 3} | block for block in blocks],
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(tree | top))
    return file


def test_every_trainer_in_every_protocol_and_again_nothing(tiny, folder):
    names = list(TRAINERS)
    blocks = [
        {"protocol": "base2new", "methods": ["CoOp", *names]},
        {"protocol": "noise", "methods": names[:2], "types": ["sym_other"], "rates": [0.5]},
        {"protocol": "adversarial", "methods": names[:2], **ATTACK},
    ]
    suite = read_suite(write(folder, tiny, "all", blocks), root=str(folder))
    assert len(suite.runs) == 9 + 2 + 2
    outcomes = {str(run): work(run) for run in suite.runs}
    assert {outcome.how for outcome in outcomes.values()} == {"done"}, outcomes
    # the ids that were planned are those of the runs: nothing is to be done again
    assert {found.state for found in survey(suite.runs).values()} == {"done"}
    new = record(folder / "all" / "base2new" / "test_new" / "field_pets" / "shots_3" / "FieldMaPLe" / "short" / "seed1")
    assert new["classnames"] == ["young_dog", "red_cat"]
    noisy = [json.loads(file.read_text()) for file in (folder / "all" / "noise").rglob("results.json")]
    assert len(noisy) == 2 and all(found["noise"]["flipped"] for found in noisy)
    attacked = [json.loads(file.read_text()) for file in (folder / "all" / "robust").rglob("results.json")]
    assert [set(found["figures"]) >= {"white-box", "transfer"} for found in attacked] == [True, True]


def test_worker_processes_load_them(tiny, folder, capsys):
    """And what `status` prints repeats a run."""
    file = write(folder, tiny, "workers", [{"protocol": "few_shot", "methods": ["FieldChild"]}], ["FieldChild"])
    assert main(["run", str(file), "--root", str(folder), "--jobs", "1", "--gpus", "none"]) == 0
    (run,) = read_suite(file, root=str(folder)).runs
    assert record(run.folders[0])["trainer"] == "FieldChild"
    assert (
        f"--plugin {trainer_file('FieldChild')}" in run.command()
        and f"--plugin-cfg {COOP / 'train.py'}" in run.command()
    )


def test_mistakes_are_said_with_their_place(tiny, folder, tmp_path):
    def said(**top) -> str:
        block = top.pop("block", {})
        blocks = [{"protocol": "few_shot", "methods": ["FieldCoOp"]} | block]
        with pytest.raises(InputError) as error:
            read_suite(write(folder, tiny, "wrong", blocks, ["FieldCoOp"], **top), root=str(folder))
        return str(error.value)

    assert "plugins: must be a list of files" in said(plugins=3)
    assert "there is no Python file" in said(plugins=["nowhere.py"])
    assert "--plugin-cfg" in said(plugin_cfg=["nowhere.py"])
    assert "FieldUnknown" in said(block={"methods": ["FieldUnknown"]})
    broken = tmp_path / "broken.py"
    broken.write_text("import no_such_module\nclass BrokenOne: pass\n")
    text = said(plugins=[str(broken)], block={"methods": ["BrokenOne"]})
    assert "block 1 (few_shot), methods: BrokenOne is a plugin's" in text and f"{broken}, line 1" in text


def test_scripts_take_plugins_from_the_environment(folder):
    env = {
        "PLUGIN": f"{trainer_file('FieldCoOp')}:{COOP / 'datasets' / 'field_pets.py'}",
        "PLUGIN_CFG": str(COOP / "train.py"),
        "CFG": "tiny",
    }
    ((*arguments,),) = plan("few_shot", "FieldCoOp", "field_pets", 1, env, [])
    for flag, values in (("--plugin", env["PLUGIN"].split(":")), ("--plugin-cfg", [env["PLUGIN_CFG"]])):
        assert [arguments[i + 1] for i, word in enumerate(arguments) if word == flag] == values
    # what this project has no config of is looked for in the checkout
    assert arguments[arguments.index("--config-file") + 1] == str(
        COOP / "configs" / "trainers" / "FieldCoOp" / "tiny.yaml"
    )
    assert arguments[arguments.index("--dataset-config-file") + 1] == str(
        COOP / "configs" / "datasets" / "field_pets.yaml"
    )
    own = Settings.from_environment(env | {"CFG": str(folder / "short.yaml")}, [])
    assert own.config("FieldCoOp", "digits") == "short"


def test_a_forks_own_names_beside_ours(tiny, folder, tmp_path):
    """Planned, run, found finished, and in tables: the fork's CoOp and data, with what its train.py sets."""
    script = TRAIN_PY.replace('"Tiny"', '"OxfordPets"')
    fork = make_fork(tmp_path / "SRC", script, CoOp="assert cfg.TRAINER.FIELDCOOP.REP_DIM == 2048")
    write_file(fork / "configs" / "datasets" / "oxford_pets.yaml", 'DATASET:\n  NAME: "OxfordPets"\n')
    data = write_file(fork / "datasets" / "pets.py", PETS)
    blocks = [{"protocol": "base2new", "methods": ["CoOp", "CoOp@Fork"], "datasets": ["oxford_pets@Fork"]}]
    blocks += [{"protocol": "few_shot", "methods": ["CoOp@Fork"], "datasets": ["oxford_pets@Fork"]}]
    files = {"plugins": [f"Fork={fork / 'trainers' / 'coop.py'}", f"Fork={data}"], "plugin_cfg": str(fork / "train.py")}
    suite = read_suite(write(folder, tiny, "names", blocks, ["FieldCoOp"], **files), root=str(folder))
    outcomes = {str(run): work(run) for run in suite.runs}
    assert {outcome.how for outcome in outcomes.values()} == {"done"}, outcomes
    assert {found.state for found in survey(suite.runs).values()} == {"done"}
    for run in suite.runs:  # what was planned is what was run
        assert record(run.folders[0])["settings_hash"] == run.resolved[0].hash(run.seed)
    rows = collect(folder / "names").set_index(["protocol", "part", "method"]).sort_index()
    assert set(rows.index) == {
        ("base2new", "base", "CoOp"), ("base2new", "new", "CoOp"),
        ("base2new", "base", "CoOp@Fork"), ("base2new", "new", "CoOp@Fork"), ("few_shot", "all", "CoOp@Fork"),
    }  # fmt: skip
    assert set(rows.dataset) == {"oxford_pets@Fork"} and rows.settings_hash.nunique() == 5
    assert {r.method for r in results(collect(folder / "names"))} == {"CoOp", "CoOp@Fork"}
    assert main(["report", str(folder / "names")]) == main(["compare", str(folder / "names")]) == 0
    assert "CoOp@Fork" in (folder / "names" / "report.html").read_text()
    (run, *_) = [run for run in suite.runs if run.method == "CoOp"]
    assert "--trainer CoOp@RobustPrompt" in run.command()
    assert read_suite(folder / "names.yaml", root=str(folder)).runs[0].id == suite.runs[0].id


def test_a_forks_own_zero_shot_is_not_trained(tmp_path):
    fork = make_fork(tmp_path / "SRC", ZeroshotCLIP="")
    env = {"PLUGIN": f"{fork / 'trainers' / 'zeroshotclip.py'}", "CFG": "tiny", "SHOTS": "4"}
    write_file(fork / "configs" / "trainers" / "ZeroshotCLIP" / "tiny.yaml", "OPTIM: {LR: 0.1}\n")
    ((*arguments,),) = plan("few_shot", "ZeroshotCLIP@SRC", "digits", 1, env, [])
    assert "--eval-only" in arguments and "/shots_0/ZeroshotCLIP@SRC/" in arguments[arguments.index("--output-dir") + 1]
    config = arguments[arguments.index("--config-file") + 1]
    assert config == str(fork / "configs" / "trainers" / "ZeroshotCLIP" / "tiny.yaml")
