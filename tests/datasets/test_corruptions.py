"""Corruptions of test images: each function by hand or by a second way, damage by severity, sets on disk, runs."""

from __future__ import annotations

import colorsys
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers import Tiny as TinySet  # noqa: F401  registers the dataset
from PIL import Image
from scipy import ndimage

from bench.__main__ import main
from bench.reading.corruption import corruption_error
from bench.suites.suite import read_suite
from dassl.utils import InputError
from datasets.__main__ import main as datasets_main
from datasets.corruption import blurs, digital, noises, weather
from datasets.corruption.recipe import CORRUPTIONS, SEVERITIES, corrupt
from datasets.corruption.sets import CorruptedSet
from runs.corruption_protocol import FIFTEEN, GROUPS, NAMES, spread
from runs.protocols import plan

FOG3 = {"TEST.CORRUPTION.NAME": "fog", "TEST.CORRUPTION.SEVERITY": 3}
# What their strengths do not order: fog gets finer, not thicker; elastic transforms and saturation change in kind.
NOT_RISING = {"fog", "elastic_transform", "saturate"}


@pytest.fixture(scope="module")
def scene():
    """A picture of 224 pixels with smooth and sharp parts."""
    at = np.linspace(0, 1, 224)
    picture = np.stack([at[:, None] * at, np.sin(9 * at)[:, None] ** 2 * (1 - at), 0.3 + 0.4 * (at[:, None] > at)], -1)
    picture[60:120, 80:140] = (0.9, 0.2, 0.1)
    picture += ndimage.gaussian_filter(np.random.default_rng(0).normal(size=picture.shape), (1, 1, 0)) * 0.4
    return (np.clip(picture, 0, 1) * 255).astype(np.uint8)


def small(scene, size):
    return np.asarray(Image.fromarray(scene).resize((size, size), Image.Resampling.BOX))


@pytest.mark.parametrize("name", NAMES)
def test_damage_rises_with_severity(scene, name):
    for picture in (scene, small(scene, 48)):
        found = [corrupt(picture, name, severity, 7) for severity in SEVERITIES]
        assert all(each.shape == picture.shape and each.dtype == np.uint8 for each in found)
        damage = [np.square(each / 255 - picture / 255).mean() for each in found]
        if name == "frost":  # it also gets darker: what is left of the picture says more than the distance
            damage = [1 - np.corrcoef(each.ravel(), picture.ravel())[0, 1] for each in found]
        assert min(damage) > 0 or (name == "gaussian_blur" and len(picture) == 48 and damage[4] > 0)
        if name not in NOT_RISING and not (name in ("glass_blur", "pixelate") and len(picture) == 48):
            assert damage == sorted(damage), damage
    assert (corrupt(picture, name, 3, 7) == found[2]).all()  # the same seed, the same pixels


def test_fog_is_finer_and_the_other_two_rise_within_their_kind(scene):
    def damage(name, severity):
        return np.square(corrupt(scene, name, severity, 7) / 255 - scene / 255).mean()

    def roughness(severity):
        picture = corrupt(np.full_like(scene, 128), "fog", severity, 7) / 255
        return np.abs(np.diff(picture, axis=0)).mean()

    assert roughness(1) < roughness(3) < roughness(4) < roughness(5)
    assert damage("elastic_transform", 3) < damage("elastic_transform", 5)
    assert damage("saturate", 1) < damage("saturate", 2) and damage("saturate", 4) < damage("saturate", 5)


def test_the_published_strengths():
    """Hendrycks and Dietterich's; a change of one of these would be another benchmark."""
    assert (
        len(FIFTEEN) == 15
        and set(NAMES) == set(CORRUPTIONS)
        and all(len(c.strengths) == 5 for c in CORRUPTIONS.values())
    )
    assert {group: tuple(n for n, c in CORRUPTIONS.items() if c.group == group) for group in GROUPS} == GROUPS
    told = {
        "gaussian_noise": (0.38,), "shot_noise": (3,), "impulse_noise": (0.27,), "defocus_blur": (10, 0.5),
        "glass_blur": (1.5, 4, 2), "motion_blur": (20, 15), "zoom_blur": (1.31, 0.03), "frost": (0.6, 0.75),
        "fog": (3, 1.4), "brightness": (0.5,), "contrast": (0.05,), "pixelate": (0.25,), "jpeg_compression": (7,),
        "speckle_noise": (0.6,), "gaussian_blur": (6,), "saturate": (20, 0.2),
    }  # fmt: skip
    assert {name: CORRUPTIONS[name].strengths[4] for name in told} == told


def test_noise_has_its_strength():
    grey, rng = np.full((300, 300, 3), 0.5), np.random.default_rng(1)
    assert np.std(noises.gaussian_noise(grey, rng, 1, 0.12)) == pytest.approx(0.12, rel=0.01)
    assert np.std(noises.speckle_noise(grey, rng, 1, 0.2)) == pytest.approx(0.1, rel=0.01)
    shot = noises.shot_noise(grey, rng, 1, 25)
    assert (shot.mean(), shot.var()) == (pytest.approx(0.5, rel=0.01), pytest.approx(0.5 / 25, rel=0.02))
    hit = noises.impulse_noise(grey, rng, 1, 0.09)
    assert (hit == 1).mean() == pytest.approx(0.045, abs=0.002) and (hit == 0).mean() == pytest.approx(0.045, abs=0.002)


def test_colours_by_the_standard_library(scene):
    x = small(scene, 12) / 255
    x[0, :3] = (0, 0, 0), (0.4, 0.4, 0.4), (1, 1, 1)
    hsv = [[colorsys.rgb_to_hsv(*pixel) for pixel in row] for row in x]
    for found, change in (
        (digital.brightness(x, None, 1, 0.3), lambda h, s, v: (h, s, min(1, v + 0.3))),
        (digital.saturate(x, None, 1, 5, 0.1), lambda h, s, v: (h, min(1, 5 * s + 0.1), v)),
    ):
        wanted = [[colorsys.hsv_to_rgb(*change(*pixel)) for pixel in row] for row in hsv]
        np.testing.assert_allclose(found, wanted, atol=1e-12)
    half = digital.contrast(x, None, 1, 0.5)
    assert half.mean() == pytest.approx(x.mean()) and half.std((0, 1)) == pytest.approx(0.5 * x.std((0, 1)))


def test_kernels():
    assert blurs.disk(3, 0.1, 1).sum() == pytest.approx(1) and (blurs.disk(3, 0.1, 1) > 1e-6).sum() == 29
    assert blurs.disk(10, 0.5, 1).shape == (21, 21) and blurs.disk(10, 0.5, 48 / 224).shape == (7, 7)
    dot = np.zeros((41, 41, 3))
    dot[20, 20] = 1
    line = blurs.moved_by_line(dot, 10, 3, 0)
    assert line.sum() == pytest.approx(3) and (line[20, :21, 0] > 0).sum() == 21 and not line[20, 21:].any()
    weights = np.exp(-(np.arange(21) ** 2) / 18)
    np.testing.assert_allclose(line[20, 20::-1, 0], weights / weights.sum())
    np.testing.assert_allclose(
        blurs.gaussian_blur(dot, None, 0.5, 4), ndimage.gaussian_filter(dot, (2, 2, 0), mode="nearest")
    )
    plain = blurs.zoom_blur(np.full((30, 30, 3), 0.4), None, 1, 1.11, 0.01)
    np.testing.assert_allclose(plain, 0.4)


def test_glass_moves_pixels_and_makes_none(scene, monkeypatch):
    monkeypatch.setattr(blurs, "gaussian_blur", lambda x, *_: x)
    found = blurs.glass_blur(scene / 255, np.random.default_rng(1), 1, 0.7, 1, 2)
    levels = np.round(found * 255).astype(np.uint8)
    assert (levels != scene).any()
    assert (np.sort(levels.reshape(-1, 3), 0) == np.sort(scene.reshape(-1, 3), 0)).all()


def test_elastic_without_strength_is_the_picture(scene):
    x = scene / 255
    np.testing.assert_allclose(digital.elastic_transform(x, np.random.default_rng(1), 1, 0, 2, 0), x, atol=1e-5)
    turned = digital.elastic_transform(x, np.random.default_rng(1), 1, 0, 2, 24)
    assert np.abs(turned - x).mean() > 0.02


def test_plasma_is_rougher_with_less_decay():
    def rough(decay):
        heights = weather.plasma(128, decay, np.random.default_rng(2))
        assert (heights.min(), heights.max()) == (0, 1)
        return np.abs(np.diff(heights, axis=0)).mean()

    assert rough(3) < rough(2) < rough(1.4)


@pytest.mark.parametrize(
    ("name", "severity", "says"), [("rain", 1, "gaussian_noise, shot_noise"), ("fog", 6, "1 to 5")]
)
def test_unknown(scene, name, severity, says):
    with pytest.raises(InputError, match=says):
        corrupt(scene, name, severity, 0)


# ---------------------------------------------------------------------- sets and runs


@pytest.fixture(scope="module")
def tested(tiny, tmp_path_factory):
    """Zero-shot CLIP on clean images, and CoOp trained on these; both on fog."""
    top = tmp_path_factory.mktemp("fog")
    assert tiny.run(top / "clean", "ZeroshotCLIP", ("--eval-only",)) == 0
    assert tiny.run(top / "zero", "ZeroshotCLIP", ("--eval-only",), FOG3) == 0
    assert tiny.run(top / "coop", "CoOp") == 0
    trained = ("--eval-only", "--model-dir", top / "coop", "--load-epoch", 3)
    assert tiny.run(top / "coop_fog", "CoOp", trained, FOG3) == 0
    return top


def record(folder):
    return json.loads((folder / "results.json").read_text())


def test_all_methods_meet_the_same_pictures(tiny, tested):
    clean, zero, coop = (record(tested / name) for name in ("clean", "zero", "coop_fog"))
    assert clean["corruption"] is None and "CORRUPTION" not in clean["config"]["TEST"]
    assert zero["corruption"] == coop["corruption"] and zero["corruption"]["name"] == "fog"
    assert zero["settings_hash"] != clean["settings_hash"] and zero["scores"]["nll"] != clean["scores"]["nll"]
    (folder,) = (tiny.root / "corrupted").glob("Tiny/test-base-fog-3-*")
    found = CorruptedSet(folder)
    assert (found.key, len(found), found.manifest["strength"]) == (zero["corruption"]["key"], 12, [2.5, 1.7])
    row = found.rows[3]
    assert row.keys() == {"index", "path", "label", "mean_levels"} and row["path"] == "0_test_3.png"
    clean_picture = np.asarray(Image.open(tiny.root / "tiny" / "images" / row["path"]))
    assert found.picture(3).shape == (3, 16, 16) and clean_picture.shape == (20, 24, 3)


def test_a_finished_run_is_recognised_and_a_damaged_set_made_again(tiny, tested, tmp_path, capsys):
    assert tiny.run(tested / "zero", "ZeroshotCLIP", ("--eval-only",), FOG3) == 0
    assert "Finished already" in capsys.readouterr().out
    (folder,) = (tiny.root / "corrupted").glob("Tiny/test-base-fog-3-*")
    whole = (folder / "pictures-0000.npy").read_bytes()
    (folder / "pictures-0000.npy").write_bytes(whole[:-5])
    with pytest.raises(InputError, match="Shard 0 of .* is damaged"):
        CorruptedSet(folder)
    assert tiny.run(tmp_path / "again", "ZeroshotCLIP", ("--eval-only",), FOG3) == 0
    assert (folder / "pictures-0000.npy").read_bytes() == whole
    stored = FOG3 | {"TEST.CORRUPTION.STORE": "png", "TEST.CORRUPTION.DIR": tmp_path / "own"}
    assert tiny.run(tmp_path / "png", "ZeroshotCLIP", ("--eval-only",), stored) == 0
    assert record(tmp_path / "png")["scores"] == record(tested / "zero")["scores"]
    assert record(tmp_path / "png")["settings_hash"] == record(tested / "zero")["settings_hash"]


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ({"TEST.CORRUPTION.SEVERITY": 3}, "TEST.CORRUPTION.SEVERITY has no effect without a corruption"),
        ({"TEST.CORRUPTION.NAME": "rain"}, "TEST.CORRUPTION.NAME is 'rain', but must be one of gaussian_noise"),
        (FOG3 | {"TEST.CORRUPTION.SEVERITY": 6}, "TEST.CORRUPTION.SEVERITY is 6, but must be one of 1, 2, 3, 4, 5"),
        (FOG3 | {"TEST.ADV_SET": "make"}, "both give the test pictures"),
        (FOG3 | {"TEST.CORRUPTION.DIR": "/dev/null/x"}, "cannot be written"),
    ],
)
def test_wrong_runs(tiny, tmp_path, capsys, pairs, says):
    assert tiny.run(tmp_path / "x", "ZeroshotCLIP", ("--eval-only",), pairs) == 2
    said = capsys.readouterr().err
    assert says in said and "Traceback" not in said


def test_the_command(tiny, tmp_path, capsys):
    words = ["corrupt", "digits", "--root", str(tmp_path), "--corruptions", "contrast", "--severities", "2"]
    (tmp_path / "none").mkdir()
    assert datasets_main([*words, "--size", "8"]) == 2
    assert "from 16 to 1024" in capsys.readouterr().err
    assert datasets_main([*words, "--sheet", str(tmp_path / "a.xyz")]) == 2
    assert "must end in .png" in capsys.readouterr().err
    assert datasets_main([*words, "--size", "16", "--sheet", str(tmp_path / "sheet.png")]) == 0
    assert Image.open(tmp_path / "sheet.png").width > 500 and not (tmp_path / "corrupted").exists()
    assert datasets_main([*words, "--size", "16", "--split", "val"]) == 0
    assert "contrast" in capsys.readouterr().out and (tmp_path / "corrupted" / "Digits").is_dir()


# ---------------------------------------------------------------------- protocol, suite, figures


def test_words_of_the_script(tmp_path):
    assert len(spread([])) == 75 and spread(["fog,noise", "1,5", "A.B", "2"])[1] == ("fog", "5", "A.B", "2")
    assert [name for name, _ in spread(["extra", "3"])] == list(GROUPS["extra"])
    for words, says in (
        (["rain", "1"], "There is no corruption 'rain'"),
        (["fog"], "SEVERITIES must follow 'fog'"),
        (["fog", "0"], "a severity is a number from 1 to 5"),
        (["fog", "OPTIM.LR", "1"], "SEVERITIES must follow"),
    ):
        with pytest.raises(InputError, match=says):
            spread(words)
    env = {"OUTPUT": str(tmp_path)}
    runs = plan("corruption_test", "ZeroshotCLIP", "digits", 1, env, ["frost,fog", "2"])
    folders = [run[run.index("--output-dir") + 1] for run in runs]
    assert folders[0] == f"{tmp_path}/corruption/digits/frost-2/shots_0/ZeroshotCLIP/embedded/seed1"
    assert "TEST.CORRUPTION.NAME frost TEST.CORRUPTION.SEVERITY 2" in " ".join(runs[0]) and len(folders) == 2
    with pytest.raises(InputError, match=r"few_shot.sh digits 1"):
        plan("corruption_test", "CoOp", "digits", 1, env, ["fog", "2"])
    with pytest.raises(InputError, match="TEST.CORRUPTION.NAME in the command line contradicts"):
        plan("corruption_test", "ZeroshotCLIP", "digits", 1, env, ["fog", "2", "TEST.CORRUPTION.NAME", "frost"])


def test_a_block_of_a_suite(tmp_path):
    file = tmp_path / "own.yaml"

    def suite(text):
        file.write_text(
            f"blocks:\n  - {{protocol: corruption, methods: [ZeroshotCLIP, CoOp], datasets: digits, {text}}}\n"
        )
        return read_suite(file, str(tmp_path / "out"), seeds=(1,))

    runs = suite("corruptions: [fog, blur], severities: [1, 5], variant: a, overrides: {TEST.CORRUPTION.SEED: 4}").runs
    assert [len(run.job) for run in runs] == [1] * 10 + [11]  # CoOp is trained once
    assert "TEST.CORRUPTION.SEED" not in runs[-1].command() and "TEST.CORRUPTION.SEED 4" in runs[-1].command(1)
    assert sum(len(run.job) for run in suite("seeds: [1]").runs) == 75 + 76
    for text, says in (("corruptions: rain", "corruptions: There is no corruption"), ("severities: 6", "from 1 to 5")):
        with pytest.raises(InputError, match=says):
            suite(text)


def test_mce_by_hand():
    names = ("fog", "snow")
    reference = {(n, s): 10.0 * s + (20 if n == "snow" else 0) for n in names for s in range(1, 6)}
    own = {(n, s): e / (2 if n == "fog" else 1) for (n, s), e in reference.items()}
    found = corruption_error(own, reference, clean=3, clean_reference=5, names=names)
    assert found.mce == pytest.approx((50 + 100) / 2)
    assert found.relative_mce == pytest.approx(100 * ((75 - 15) / (150 - 25) + (250 - 15) / (250 - 25)) / 2)
    assert found.accuracy == pytest.approx(100 - (15 + 50) / 2)
    assert corruption_error(reference, reference, 5, 5, names)[1:3] == (pytest.approx(100), pytest.approx(100))
    part = corruption_error({k: e for k, e in own.items() if k != ("fog", 3)}, reference, names=names)
    assert part.missing == ("fog-3",) and np.isnan(part.mce)
    assert np.isnan(corruption_error(own, {}, names=names).mce)


def test_the_table(tmp_path, capsys):
    for method, shots, better in (("ZeroshotCLIP", 0, 0), ("CoOp", 16, 5)):
        for condition in ("clean", *(f"{name}-{level}" for name in FIFTEEN for level in SEVERITIES)):
            write(tmp_path, method, shots, condition, 80 + better if condition == "clean" else 50 + better)
    assert main(["corruptions", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "100.00" in said and "90.00" in said and " 55.00" in said  # errors of 50 and 45; both lose 30
    assert main(["corruptions", str(tmp_path / "few_shot")]) == 2
    assert "There are no tests on corrupted images" in capsys.readouterr().err
    assert main(["report", str(tmp_path), "--output", str(tmp_path / "page.html")]) == 0
    assert "gaussian noise" in (tmp_path / "page.html").read_text()


def write(top, method, shots, condition, accuracy):
    clean = condition == "clean"
    place = f"few_shot/digits/shots_{shots}" if clean else f"corruption/digits/{condition}/shots_{shots}"
    folder = top / place / method / "embedded" / "seed1"
    folder.mkdir(parents=True)
    told = {
        "version": 1, "trainer": method, "dataset": "Digits", "seed": 1, "mode": "test", "subsample_classes": "all",
        "results": {"accuracy": accuracy}, "backbone": {"name": "Embedded"}, "settings_hash": f"{condition}{method}",
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps(told))


def test_a_changed_source_image_is_noticed(tiny, tmp_path, capsys):
    """It gives another set, in which that picture alone differs; the finished run of the old ones is refused."""
    own = replace(tiny, root=tmp_path / "root")
    shutil.copytree(tiny.root / "tiny", own.root / "tiny")
    assert own.run(tmp_path / "first", "ZeroshotCLIP", ("--eval-only",), FOG3) == 0
    file = own.root / "tiny" / "images" / "0_test_3.png"
    Image.fromarray(255 - np.asarray(Image.open(file))).save(file)
    assert own.run(tmp_path / "second", "ZeroshotCLIP", ("--eval-only",), FOG3) == 0
    before, after = (record(tmp_path / name)["corruption"] for name in ("first", "second"))
    assert before["key"] != after["key"] and before["content"] != after["content"]
    sets = {each.key: each for each in map(CorruptedSet, (own.root / "corrupted").glob("Tiny/test-base-fog-3-*"))}
    same = [bool((sets[before["key"]].picture(i) == sets[after["key"]].picture(i)).all()) for i in range(12)]
    assert same == [i != 3 for i in range(12)]
    capsys.readouterr()
    code = own.run(tmp_path / "first", "ZeroshotCLIP", ("--eval-only",), FOG3)
    said = capsys.readouterr()
    assert code == 2 and "holds a finished run on other data" in said.err and said.err.count("\n") == 1
