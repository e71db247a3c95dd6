"""Every scripts/METHOD/PROTOCOL.sh prints its usage, and leads to its protocol and its method."""

from __future__ import annotations

import re

import pytest
from stub import LINKS, ROOT, SCRIPTS, call, make_stub, started

from dassl.engine import TRAINER_REGISTRY
from runs.config_names import MIX_INS, ONLINE, SAR_HOSTS, TEST_TIME
from runs.protocols import PROTOCOLS

MIX = {added.lower(): added for added in MIX_INS}  # {folder of scripts: what is added to a host}
FOLDERS = sorted({script.parent.name for script in LINKS})


UNDER_CONDITIONS = ("corruption_test", "text_noise_test")  # tests of any method, trained or not
WITHOUT = ("ZeroshotCLIP2",)  # by run.sh alone


def methods() -> dict[str, str]:
    """{folder of scripts: name} of the registered methods: a folder is called like the module."""
    import trainers  # noqa: F401  registers them

    names = [name for name in TRAINER_REGISTRY.registered_names() if "@" not in name and name not in WITHOUT]
    places = {name: TRAINER_REGISTRY.get(name).__module__.split(".") for name in names}
    ours = {
        name: place
        for name, place in places.items()
        if place[0] == "trainers" and place[-1] not in (*MIX, "adversarial")
    }
    found = {place[1]: name for name, place in ours.items()}
    assert len(found) == len(ours), "two methods of one module: the second needs scripts too, or a place in WITHOUT"
    return found


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return make_stub(tmp_path_factory.mktemp("python"))


def test_every_method_has_every_script():
    """What is missing is made by `ln -s ../run.sh scripts/METHOD/PROTOCOL.sh`."""
    own = methods()
    assert set(FOLDERS) == {*own, *MIX}
    for folder in FOLDERS:
        there = {"test_time" if s.stem == "test" else s.stem for s in LINKS if s.parent.name == folder}
        special, name = {"test_time", "online"}, own.get(folder)
        needed = (
            {"test_time", *UNDER_CONDITIONS}
            if name in TEST_TIME
            else {"online"}
            if name in ONLINE
            else set(PROTOCOLS) - special
        )
        assert there - special == needed - special and needed <= there, folder


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_script_leads_to_its_protocol_and_method(folder, python):
    first, trainer = (["CoOp"], f"CoOp{MIX[folder]}") if folder in MIX else ([], methods()[folder])
    words = ["digits", "1", "sym_other", "0.5", "KEY", "with  blanks"]
    for script in (s for s in LINKS if s.parent.name == folder):
        protocol = "test_time" if script.stem == "test" else script.stem
        assert started(call(script, *first, *words, python=python)) == [protocol, trainer, *words]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_script_without_words_prints_its_usage(folder):
    """Without a Python: none is started for it."""
    for script in (s for s in LINKS if s.parent.name == folder):
        done = call(script, python="/nonexistent")
        name = f"scripts/{folder}/{script.name}"
        noise = " TYPE RATE" if script.stem in ("noise_train", "noise_xd_train", "noise_xd_test") else ""
        host = "HOST " if folder in MIX else ""
        first = re.compile(rf"usage: bash {name} {host}(DATASET|SOURCE|TARGET) SEED{noise} (\[[A-Z ]+\] )?\[KEY VALUE")
        usage, does, *_, example = done.stderr.splitlines()
        assert done.returncode == 2 and not done.stdout and first.match(usage), done.stderr
        assert re.match(rf"(Trains|Tests) {f'HOST with {MIX[folder]}' if host else methods()[folder]}\b", does), does
        words = example.removeprefix(f"example: bash {name} ").split()
        asked = usage.partition(name)[2].partition("[")[0].split()
        assert len(words) >= len(asked) and does.endswith("."), example
        described = {line.split()[0]: line for line in done.stderr.splitlines() if line.startswith("  ")}
        assert {*asked, "KEY"} <= set(described) and all(len(line.split()) > 2 for line in described.values())


OTHERS = ["run.sh", "demo.sh", "test.sh", "setup.sh", "links.sh", "adv/attack.sh", "adv/eval.sh", "coop/few_shot.sh"]


@pytest.mark.parametrize("script", OTHERS)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_is_no_error(script, flag, tmp_path):
    done = call(ROOT / "scripts" / script, flag, python="/nonexistent", cwd=tmp_path)
    assert done.returncode == 0 and not done.stderr
    assert done.stdout.startswith(f"usage: bash scripts/{script}") and f"example: bash scripts/{script}" in done.stdout


@pytest.mark.parametrize("script", ["run.sh", "adv/attack.sh", "adv/eval.sh"])
def test_what_needs_words_prints_its_usage_without(script):
    done = call(ROOT / "scripts" / script, python="/nonexistent")
    assert done.returncode == 2 and not done.stdout and done.stderr.startswith(f"usage: bash scripts/{script} ")


def test_no_script_is_forgotten_here():
    own = {str(s.relative_to(ROOT / "scripts")) for s in [*(ROOT / "scripts").glob("*.sh"), *SCRIPTS]}
    links = {str(s.relative_to(ROOT / "scripts")) for s in LINKS}
    assert own - links == {*OTHERS, "python.sh", "usage.sh"} - links  # these two are sourced


@pytest.mark.parametrize(
    ("script", "words", "missing"),
    [
        ("coop/few_shot.sh", ["digits"], "SEED"),
        ("coop/noise_train.sh", ["digits", "1"], "TYPE RATE"),
        ("sar/base2new_train.sh", ["CoOp"], "DATASET SEED"),
        ("run.sh", ["few_shot"], "TRAINER DATASET SEED"),
        ("run.sh", ["few_shot", "CoOp", "digits"], "SEED"),
    ],
)
def test_missing_words_are_named(script, words, missing):
    done = call(ROOT / "scripts" / script, *words, python="/nonexistent")
    error, usage = done.stderr.splitlines()
    assert done.returncode == 2 and error.startswith(f"error: nothing is given for {missing};")
    assert usage.startswith(f"usage: bash scripts/{script}")


@pytest.mark.parametrize("host", SAR_HOSTS)
def test_sar_takes_its_host_first(host, python):
    done = call(ROOT / "scripts/sar/xd_test.sh", host, "digits", "1", python=python)
    assert started(done) == ["xd_test", f"{host}SAR", "digits", "1"]


def test_the_shared_script_takes_protocol_and_method_as_words(python):
    for words in (["few_shot", "FieldCoOp", "digits", "1"], ["one_of_yours", "CoOp", "digits", "1", "K", "v"]):
        assert started(call(ROOT / "scripts/run.sh", *words, python=python)) == words
    done = call(ROOT / "scripts/run.sh", "xd_train", "FieldCoOp", "--help", python=python)
    assert done.stdout.startswith("usage: bash scripts/run.sh xd_train FieldCoOp SOURCE SEED [KEY VALUE ...]\n")
