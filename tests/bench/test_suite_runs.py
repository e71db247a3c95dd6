"""Suites: what a file expands to, what identifies a run, and every mistake as one sentence with its place."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

import train
from bench.__main__ import main
from bench.suites import expand as suite_expand
from bench.suites import resolved
from bench.suites.known import known
from bench.suites.robust_step import RobustStep
from bench.suites.suite import read_suite
from dassl.utils import InputError
from runs.settings import settings, settings_hash

ROOT = Path(__file__).resolve().parent.parent.parent


def write(folder: Path, blocks, **top) -> Path:
    file = folder / "s.yaml"
    file.write_text(yaml.safe_dump({"blocks": blocks} | top, sort_keys=False))
    return file


def block(protocol: str = "few_shot", **more) -> dict:
    own = {"protocol": protocol, "methods": ["CoOp"]}
    return own | ({} if protocol in ("cross_dataset", "noise_xd") else {"datasets": ["digits"]}) | more


def plan(folder: Path, *blocks: dict, pairs=(), **top):
    return read_suite(write(folder, list(blocks), **top), pairs=pairs).runs


# ---------------------------------------------------------------------- expansion


def test_the_product_seed_by_seed(tmp_path):
    runs = plan(
        tmp_path, block(methods=["ZeroshotCLIP", "CoOp"], datasets=["digits", "shapes"], shots=[1, 4]), seeds=[1, 2]
    )
    assert Counter((r.method, r.seed) for r in runs) == {("ZeroshotCLIP", 1): 2, ("CoOp", 1): 4, ("CoOp", 2): 4}
    assert [r.seed for r in runs] == sorted(r.seed for r in runs)
    assert len({r.id for r in runs}) == len(runs) and all(len(r.id) == 12 for r in runs)
    assert str(runs[-1].folders[0]) == "output/s/few_shot/shapes/shots_4/CoOp/embedded/seed2"
    assert runs[0].home == Path("output/s/.bench")


def test_a_list_in_a_list_stands_for_its_names(tmp_path):
    """So that blocks share a list by a YAML alias, and add to it."""
    file = tmp_path / "s.yaml"
    file.write_text(
        "seeds: [1]\nblocks:\n- {protocol: few_shot, methods: &two [CoOp, KgCoOp], datasets: [digits]}\n"
        "- {protocol: base2new, methods: [*two, TCP], datasets: [digits]}\n"
    )
    names = Counter((run.block, run.method) for run in read_suite(file).runs)
    assert names == Counter(
        [("few_shot", "CoOp"), ("few_shot", "KgCoOp"), *(("base2new", name) for name in ("CoOp", "KgCoOp", "TCP"))]
    )


def test_one_training_and_many_tests_are_one_run(tmp_path):
    away = {"source": "shapes", "methods": ["CoOp"]}
    (run,) = plan(
        tmp_path, {"protocol": "cross_dataset", **away}, {"protocol": "domain_generalization", **away}, seeds=[3]
    )
    assert len(run.job) == 1 + 4 + 3 and run.job[0].protocol == "xd_train" and run.dataset == "shapes"
    assert str(run.folders[-1]).endswith("evaluation_shapes/CoOp/embedded_16shots/shapes_inverted/seed3")
    trained = plan(tmp_path, block(), block("adversarial", eps=[1, 4], steps=[7]), seeds=[1])
    assert [step.protocol for step in trained[0].job] == ["few_shot", "robust", "robust"] and len(trained) == 1


def test_sweeps_and_variants_have_folders_of_their_own(tmp_path):
    sweep = {"OPTIM.LR": [0.01, 0.1], "TRAINER.COOP.N_CTX": [4]}
    runs = plan(tmp_path, block(sweep=sweep), block("noise", methods=["PTNL-GCE"], types={"idn": [0.2]}), seeds=[1])
    assert [r.variant for r in runs] == ["LR=0.01,N_CTX=4", "LR=0.1,N_CTX=4", "PTNL-GCE"]
    assert str(runs[1].folders[0]).startswith("output/s/variants/LR=0.1,N_CTX=4/few_shot/digits/")
    assert str(runs[2].folders[0]) == "output/s/variants/PTNL-GCE/noise/digits/idn_r0200/shots_16/PTNL/embedded/seed1"
    assert "TRAINER.PTNL.LOSS gce" in runs[2].command()


def test_a_suite_says_where_its_variants_lie_and_a_variant_may_be_a_folder_in_a_folder(tmp_path):
    several = [block(variant="a/b"), block(variant="c", sweep={"OPTIM.LR": [0.1]})]
    for value, place in (
        ({"variants": "."}, "output/s/"),
        ({"variants": "rows"}, "output/s/rows/"),
        ({}, "output/s/variants/"),
    ):
        runs = plan(tmp_path, *several, seeds=[1], **value)
        assert [r.variant for r in runs] == ["a/b", "c,LR=0.1"]
        assert [str(r.folders[0]).partition("few_shot")[0] for r in runs] == [f"{place}a/b/", f"{place}c,LR=0.1/"]


def test_noise_has_one_clean_run(tmp_path):
    types = {"sym_other": [0, 0.5], "idn": [0, 0.2], "fp_swap_sym": [0]}
    runs = plan(tmp_path, block("noise", methods=["CoOp", "ZeroshotCLIP"], types=types), seeds=[1])
    found = Counter((r.method, *r.job[0].settings.pairs[:2]) for r in runs)
    noises = [("sym_other", "0.0"), ("sym_other", "0.5"), ("idn", "0.2"), ("fp_swap_sym", "0.0")]
    assert found == Counter([*(("CoOp", *n) for n in noises), ("ZeroshotCLIP", "sym_other", "0.0")])
    (xd,) = plan(tmp_path, block("noise_xd", source="shapes", types=["idn"], rates=[0.2]), seeds=[1])
    assert len(xd.job) == 5 and "noise_xd/shapes/idn_r0200/letters" in " ".join(map(str, xd.folders))


def test_real_noise_test_time_and_attacks(tmp_path):
    (web,) = plan(tmp_path, block("real_noise", datasets=["webvision"], shots=-1), seeds=[1])
    assert len(web.job) == 2 and "webvision_ilsvrc12_val/shots_all" in str(web.folders[1])
    tested = plan(tmp_path, block("test_time", methods=["TPT", "ZeroshotCLIP"], eps=[0, 1], steps=7), seeds=[1, 2])
    found = Counter((r.method, r.folders[0].parts[4]) for r in tested)
    assert found == Counter({("TPT", "clean"): 2, ("TPT", "pgd-eps1-7"): 2, ("ZeroshotCLIP", "clean"): 1,
                             ("ZeroshotCLIP", "pgd-eps1-7"): 1})  # fmt: skip
    attacked = block("adversarial", methods=["CoOp", "TPT"], attacks=["pgd", "aa"], eps=4, steps=20, subset=50)
    runs = plan(tmp_path, attacked, seeds=[1])
    assert [r.folders[-1].parts[4] for r in runs] == [
        "white-box-aa-eps4-20-n50", "adaptive-pgd-eps4-20-n50", "transfer-aa-eps4-20-n50",
    ]  # fmt: skip
    assert "python -m robustness" in runs[0].command(1) and "python train.py" in runs[0].command(0)


# ---------------------------------------------------------------------- identity


def ids(folder: Path, *blocks: dict, **more) -> list[str]:
    return [run.id for run in plan(folder, *blocks, **more)]


def test_spellings_and_places_do_not_change_the_id(tmp_path):
    plain = ids(tmp_path, block(seeds=[1]))
    same = [
        ids(tmp_path, block(seeds=[1], overrides={"OPTIM.LR": "2e-3", "OPTIM.MAX_EPOCH": 50})),  # what the YAML says
        ids(tmp_path, block(seeds=[1], overrides={"OPTIM.MAX_EPOCH": 50, "OPTIM.LR": 0.002})),
        ids(tmp_path, block(seeds=[1], overrides={"TRAIN.PRINT_FREQ": 7})),  # changes no number
        ids(tmp_path, block(seeds=1, methods="coop", datasets="digits"), output="elsewhere", name="t"),
        [run.id for run in read_suite(write(tmp_path, [block(seeds=[1])]), root="/other/data").runs],
    ]
    assert all(found == plain for found in same)
    assert ids(tmp_path, block(seeds=[1], overrides={"OPTIM.LR": 0.003})) != plain
    assert ids(tmp_path, block(seeds=[2])) != plain != ids(tmp_path, block(seeds=[1], shots=8))
    sar = ids(tmp_path, block(seeds=[1], methods="CoOpSAR"))
    assert ids(tmp_path, block(seeds=[1], overrides={"TRAINER.SAR.ENABLED": True})) == sar != plain
    own = block(methods="ANPrompt", datasets="stanford_cars", seeds=[1])
    assert ids(tmp_path, own) == ids(tmp_path, own | {"overrides": {"TRAINER.ANPROMPT.SIM_W": 7}})  # its own there
    away = {"protocol": "cross_dataset", "methods": "CoOp", "source": "shapes", "seeds": [1]}
    assert ids(tmp_path, away) == ids(tmp_path, away | {"datasets": ["objects", "letters", "textures", "digits"]})


def test_the_id_is_the_same_in_another_process(tmp_path):
    file = write(tmp_path, [block(seeds=[1], overrides={"INPUT.RRCROP_SCALE": "(0.5, 1.0)"})])
    text = f"from bench.suites.suite import read_suite; print(read_suite({str(file)!r}).runs[0].id)"
    found = {
        subprocess.run(
            [sys.executable, "-c", text], cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed}, text=True,
            capture_output=True, check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip
    assert found == {read_suite(file).runs[0].id}


def test_a_changed_yaml_changes_the_id(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    monkeypatch.setattr(resolved, "ROOT", tmp_path)
    before = ids(tmp_path, block(seeds=[1]), block("base2new", methods="TCP", seeds=[1]))
    file = tmp_path / "configs/trainers/CoOp/embedded.yaml"
    file.write_text(file.read_text().replace("LR: 0.002", "LR: 0.004"))
    after = ids(tmp_path, block(seeds=[1]), block("base2new", methods="TCP", seeds=[1]))
    assert after[0] != before[0] and after[1] == before[1]
    (tmp_path / "configs/datasets/digits.yaml").write_text(
        "DATASET:\n  NAME: Digits\nTEST:\n  PER_CLASS_RESULT: True\n"
    )
    assert ids(tmp_path, block("base2new", methods="TCP", seeds=[1]))[0] != before[1]


SAMPLES = [
    block(overrides={"OPTIM.LR": "1e-3", "TRAINER.COOP.CTX_INIT": "False"}),
    block("base2new", methods=["MMRL", "CoPrompt", "TCP", "PromptSRC"], datasets=["eurosat", "sun397"]),
    block("base2new", methods=["ANPromptSAR", "KgCoOpSAR"], datasets="dtd"),
    {"protocol": "cross_dataset", "methods": ["MMRL", "IVLP", "ANPrompt"], "source": "imagenet", "datasets": "eurosat"},
    block("noise", methods=["JoAPR", "DPSEP-intent"], datasets=["ucf101"], types=["fp_swap_pair"], rates=[0.75]),
    block("noise_xd", source="shapes", datasets="letters", types=["idn"], rates=[0.2]),
    block("real_noise", datasets="webvision"),
    block("test_time", methods="RTPT", eps=[0, 1], steps=7, overrides={"TRAINER.TTA.COMPAT": "rtpt"}),
    block("adversarial", methods=["CoOp"], attacks="pgd", eps=[4], steps=[7], overrides={"ATTACK.KEEP": "last"}),
    block("adversarial", methods=["TPT"], attacks="pgd", eps=[4], steps=[7], overrides={"ATTACK.EOT.DRAWS": 2}),
]  # fmt: skip


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda b: f"{b['protocol']}-{b['methods']}")
def test_settings_are_those_that_train_py_finds(sample, tmp_path, monkeypatch):
    """Without yacs and torch, to the last key: what a run of train.py would write into its folder."""
    trained = {}
    monkeypatch.setattr("runs.registered.saved_architecture", lambda *_: trained)
    for run in plan(tmp_path, sample, seeds=[1]):
        for number, step in enumerate(run.job):
            argv = step.planned(run.epochs)
            args = train.build_parser().parse_args(argv)
            if isinstance(step, RobustStep):
                from robustness.run import named, setup

                args.eval_only = True
                cfg, mode = setup(args)
                theirs = settings(named(cfg, mode), args)
                theirs |= {"evaluation": step.mode, "checks": "basic", "check_images": 64}
            else:
                cfg = train.setup_cfg(args)
                theirs = settings(cfg, args)
            if number == 0:
                trained = {k: theirs[k] for k in known().architecture[cfg.TRAINER.NAME] if k in theirs}
                assert run.epochs == cfg.OPTIM.MAX_EPOCH
            text = run.resolved[number].text.replace(json.dumps(resolved.SEED), "1")
            mine = json.loads(text.replace(json.dumps(resolved.MODEL), json.dumps(theirs.get("model"))))
            assert mine == theirs
            assert run.resolved[number].hash(1, theirs.get("model", "")) == settings_hash(theirs)


# ---------------------------------------------------------------------- mistakes

MISTAKES = [
    ([block(methods=["CoOpp"])], {},
     "block 1 (few_shot), methods: There is no method 'CoOpp'; known, nearest first: CoOp"),
    ([block(datasets=["digts"])], {},
     "block 1 (few_shot), datasets: There is no dataset 'digts'; known, nearest first: digits"),
    ([block("fewshot")], {}, "block 1, protocol: there is no protocol 'fewshot'; known, nearest first: few_shot"),
    ([block(shot=3)], {}, "block 1 (few_shot): there is no key 'shot'; known, nearest first: shots"),
    ([block(types=["idn"])], {}, "block 1 (few_shot): there is no key 'types'"),
    ([block()], {"seed": [1]}, "there is no key 'seed'; known, nearest first: seeds"),
    ([block(methods=[])], {}, "block 1 (few_shot), methods: is empty"),
    ([block(seeds=[])], {}, "block 1 (few_shot), seeds: is empty"),
    ([block(datasets=[])], {}, "block 1 (few_shot), datasets:"),
    ([block(shots=0)], {}, "block 1 (few_shot), shots: 0 must be a whole number of at least 1"),
    ([block(seeds=["one"])], {}, "block 1 (few_shot), seeds: 'one' must be a whole number"),
    ([block(sweep={"OPTIM.LR": []})], {}, "block 1 (few_shot), sweep, OPTIM.LR: is empty"),
    ([block(sweep={"OPTIM.LRR": [1]})], {},
     "Unknown config key OPTIM.LRR in {file}, block 1 (few_shot), sweep, OPTIM.LRR; nearest: OPTIM.LR"),
    ([block(overrides={"OPTIM.MAX_EPOCH": "many"})], {},
     "OPTIM.MAX_EPOCH is 'many' in {file}, block 1 (few_shot), overrides"),
    ([block()], {"overrides": {"OPTIM": 3}}, "OPTIM in {file}, overrides is a group of config keys"),
    ([block(overrides={"ATTACK.EPS": 2})], {}, "block 1 (few_shot): ATTACK.EPS"),
    ([block(overrides={"DATASET.NOISE_RATE": 0.5})], {},
     "DATASET.NOISE_RATE in {file}, block 1 (few_shot) is an older spelling"),
    ([block(methods=["CoOp", "CoOp"])], {}, "block 1 (few_shot), methods: CoOp is there twice"),
    ([block(), block(name="again")], {},
     "block 2 (again): few_shot CoOp digits 16-shot seed 1 is a run of block 1 (few_shot) already"),
    ([block(), block(overrides={"OPTIM.LR": 1})], {},
     "has other settings than the run of block 1 (few_shot) in the same folder"),
    ([block(sweep={"TRAINER.VPT.N_CTX_VISION": [2, 4]})], {}, "has the same settings as"),
    ([block(cfg="vit_b61")], {}, "There is no config file"),
    ([block("noise", types=["sym"], rates=[0.5])], {},
     "block 1 (noise), types: there is no noise type 'sym'; known, nearest first: sym_"),
    ([block("noise", types=["idn"], rates=[1.5])], {}, "block 1 (noise), rates: 1.5 must be below 1"),
    ([block("noise", types=["idn"])], {}, "block 1 (noise): `rates` is missing"),
    ([block("noise")], {}, "block 1 (noise): `types` is missing"),
    ([block("adversarial", eps=[4], steps=[7], attacks=["pdg"])], {},
     "block 1 (adversarial), attacks: there is no attack 'pdg'; known, nearest first: pgd"),
    ([block("adversarial", eps=[4], steps=[7], modes=["B"])], {}, "block 1 (adversarial), modes: there is no mode 'B'"),
    ([block("adversarial", eps=[0], steps=[7])], {}, "block 1 (adversarial), eps: 0 is no attack"),
    ([block("test_time", eps=[1])], {}, "block 1 (test_time): eps and steps go together"),
    ([block("test_time")], {}, "block 1 (test_time): CoOp has to be trained"),
    ([block("real_noise")], {}, "block 1 (real_noise), datasets: digits has no noise of its own"),
    ([{"protocol": "cross_dataset", "methods": "CoOp", "source": "dtd"}], {}, "block 1 (cross_dataset), datasets:"),
    ([{"protocol": "few_shot", "methods": "CoOp"}], {}, "block 1 (few_shot): `datasets` is missing"),
    ([], {}, "blocks: is empty"),
    ("few_shot", {}, "blocks: must be a list, but is a text"),
    (["few_shot"], {}, "block 1: must be KEY: VALUE lines, but is a text"),
    ([block(name="a"), block(name="a", datasets="shapes")], {}, "block 2 (a), name: 'a' is another block's"),
    ([block(overrides={"TRAINER.SAR.ENABLED": True}, methods="VPT")], {}, "there is no VPTSAR"),
]  # fmt: skip


@pytest.mark.parametrize(("blocks", "top", "says"), MISTAKES, ids=range(len(MISTAKES)))
def test_every_mistake_is_one_sentence_with_its_place(blocks, top, says, tmp_path, capsys):
    file = write(tmp_path, blocks, **{"seeds": [1], **top})
    assert main(["plan", str(file)]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and "\n" not in error and str(file) in error
    assert says.format(file=file) in error, error


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("blocks: [\n", "line"),
        ("seeds: [1]\nseeds: [2]\nblocks: []\n", "line 2: seeds is there twice"),
        ("- a\n", "must hold `name` and `blocks`, but holds a list"),
        ("", "but holds missing"),
    ],
)
def test_broken_files(text, says, tmp_path, capsys):
    file = tmp_path / "s.yaml"
    file.write_text(text)
    assert main(["plan", str(file)]) == 2
    assert says in (error := capsys.readouterr().err) and str(file) in error
    assert main(["plan", str(tmp_path / "no.yaml")]) == 2
    assert f"no.yaml; there are {file}" in capsys.readouterr().err


def test_the_command_line_wins_and_is_checked(tmp_path, capsys):
    file = write(tmp_path, [block(sweep={"OPTIM.LR": [0.1]})], overrides={"OPTIM.MAX_EPOCH": 3})
    suite = read_suite(file, "there", "data", (7,), ("OPTIM.MAX_EPOCH", "2"))
    (run,) = suite.runs
    assert run.epochs == 2 and run.seed == 7 and run.folders[0].parts[0] == "there"
    again = suite.options
    assert again == ("OPTIM.MAX_EPOCH", "2", "--output", "there", "--root", "data", "--seeds", "7")
    for pairs, says in ((["OPTIM.LR", "1"], "OPTIM.LR of the command line is swept"), (["OPTIM.LR"], "no value after")):
        assert main(["plan", str(file), *pairs]) == 2
        assert says in capsys.readouterr().err
    for order in (["OPTIM.MAX_EPOCH", "2", "--seeds", "1", "2"], ["--seeds", "1", "2", "OPTIM.MAX_EPOCH", "2"]):
        assert main(["plan", str(file), *order, "--list"]) == 0
        text = capsys.readouterr().out
        assert "2 runs into output/s" in text and text.count("OPTIM.MAX_EPOCH 2") == 2
    assert main(["plan", str(file), "--seeds", "OPTIM.MAX_EPOCH", "2"]) == 2
    assert "--seeds must be whole numbers" in capsys.readouterr().err
    with pytest.raises(InputError, match="has no run abc"):
        suite.chosen(["abc"])


def test_a_method_is_asked_for_its_settings_once(tmp_path, monkeypatch):
    """Afterwards the answer is on disk, and a plan imports no torch."""
    plan(tmp_path, block(methods="CoPrompt", datasets=["dtd"], seeds=[1]))
    monkeypatch.setattr("bench.suites.known._trainer", lambda name: pytest.fail(name))
    plan(tmp_path, block(methods="CoPrompt", datasets=["dtd"], seeds=[1, 2], shots=[1, 2]))
    file = write(tmp_path, [block(methods="CoPrompt", datasets=["dtd"])])
    text = (
        "import sys\nfrom bench.__main__ import main\n"
        f"main(['plan', {str(file)!r}]); main(['status', {str(file)!r}])\nsys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True).returncode == 0


def test_labels():
    assert suite_expand._label("", "", {}) == ""
    assert suite_expand._label("a b", "PTNL-GCE", {"OPTIM.LR": "1e-3"}) == "a_b,PTNL-GCE,LR=1e-3"
    both = {"TRAINER.COOP.N_CTX": "4", "TRAINER.MAPLE.N_CTX": "2"}
    assert suite_expand._label("", "", both) == "TRAINER.COOP.N_CTX=4,TRAINER.MAPLE.N_CTX=2"
