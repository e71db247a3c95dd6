"""Registry, meters, files, logger, errors, seeds."""

import json
import logging
import os
import random
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dassl import utils
from dassl.utils import randomness
from dassl.utils.progress import progress


def test_registry():
    registry = utils.Registry("THING")

    @registry.register()
    class One:
        pass

    registry.register(int)
    assert registry.get("One") is One
    assert registry.registered_names() == ["One", "int"]
    assert "One" in registry
    with pytest.raises(KeyError):
        registry.register(One)
    assert registry.register(One, force=True) is One
    with pytest.raises(KeyError):
        registry.get("Two")


def test_check_availability():
    utils.check_availability("CoOp", ["CoOp"])
    with pytest.raises(ValueError, match=r"\[CoOpp\] \(do you mean \[CoOp\]\?\)$") as caught:
        utils.check_availability("CoOpp", ["MaPLe", "CoCoOp", "CoOp"])
    text = str(caught.value)
    assert text.index("CoOp,") < text.index("MaPLe")  # nearest first
    with pytest.raises(utils.InputError):
        utils.check_availability("CoOp", [])
    assert utils.get_most_similar_str_to_a_from_b("eurosat", ["Food101", "EuroSAT"]) == "EuroSAT"


def test_meters():
    meter = utils.AverageMeter()
    meter.update(1.0)
    meter.update(torch.tensor(4.0), n=2)
    assert (meter.val, meter.sum, meter.count, meter.avg) == (4.0, 9.0, 3, 3.0)
    ema = utils.AverageMeter(ema=True)
    ema.update(10.0)
    ema.update(20.0)
    assert ema.avg == pytest.approx(0.9 * 1.0 + 0.1 * 20)

    meters = utils.MetricMeter()
    meters.update({"loss": torch.tensor(1.0), "acc": 50})
    meters.update(None)
    meters.update({"loss": 3.0})
    assert str(meters) == "loss 3.0000 (2.0000) acc 50.0000 (50.0000)"
    with pytest.raises(TypeError):
        meters.update(3)


def test_files(tmp_path):
    path = tmp_path / "a" / "b.json"
    utils.write_json({"x": [1], "y": "é"}, str(path))
    assert utils.read_json(path) == {"x": [1], "y": "é"}
    assert path.read_text().startswith('{\n    "x": [\n        1\n    ],\n')
    (path.parent / ".hidden").touch()
    (path.parent / "A").touch()
    assert utils.listdir_nohidden(path.parent, sort=True) == ["A", "b.json"]
    utils.mkdir_if_missing(path.parent)
    with pytest.warns(UserWarning, match="No file found at"):
        assert not utils.check_isfile(str(tmp_path / "none"))


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    utils.write_json({"old": 1}, path)
    with pytest.raises(TypeError):
        utils.write_json({"new": object()}, path)
    assert json.loads(path.read_text()) == {"old": 1}
    assert os.listdir(tmp_path) == ["x.json"]


def test_download(tmp_path):
    (tmp_path / "source").write_text("hello")
    utils.download_url((tmp_path / "source").as_uri(), str(tmp_path / "sub" / "copy"))
    assert (tmp_path / "sub" / "copy").read_text() == "hello"


def test_tolist_if_not():
    assert utils.tolist_if_not([1]) == [1]
    assert utils.tolist_if_not((1, 2)) == [(1, 2)]


def test_log_tee(tmp_path, capsys):
    console = sys.stdout
    utils.setup_logger(None)
    assert sys.stdout is console
    utils.setup_logger(str(tmp_path))
    logging.getLogger("dassl.anything").info("* accuracy: 85.3%")
    print("printed by user code")  # noqa: T201
    assert (tmp_path / "log.txt").read_text() == "* accuracy: 85.3%\nprinted by user code\n"  # flushed by now
    assert sys.stdout.isatty() == console.isatty()
    assert sys.stdout.encoding == console.encoding
    sys.stdout.close()
    assert not console.closed
    sys.stdout = console
    assert "* accuracy: 85.3%\n" in capsys.readouterr().out

    for _ in range(2):  # never overwritten, not even within one second
        utils.setup_logger(str(tmp_path))
        sys.stdout.write("again\n")
        sys.stdout.close()
        sys.stdout = console
    logs = sorted(os.listdir(tmp_path))
    assert len(logs) == 3
    assert all(name.startswith("log.txt-20") for name in logs[1:])

    utils.setup_logger(str(tmp_path / "deep" / "own.log"))
    sys.stdout.close()
    sys.stdout = console
    assert (tmp_path / "deep" / "own.log").exists()


def test_attach_logger(capsys):
    utils.attach_logger("some_package", "some_package")
    logging.getLogger("some_package.part").info("once")
    logging.getLogger("some_package.part").debug("not this")
    assert capsys.readouterr().out == "once\n"


def test_progress_lines(monkeypatch, capsys):
    assert list(progress([1, 2, 3], desc="evaluate test")) == [1, 2, 3]
    assert capsys.readouterr().out == ""
    monkeypatch.setattr("dassl.utils.progress.LINE_SECONDS", 0)
    assert list(progress([1, 2, 3], desc="evaluate test")) == [1, 2, 3]
    assert capsys.readouterr().out.startswith("evaluate test [1/3] eta 0:00:0")


def test_progress_tells_the_time_left_by_the_last_lines(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr("dassl.utils.progress.time.monotonic", lambda: now[0])
    for done, _ in enumerate(progress(range(200)), 1):
        now[0] += 60.0 if done == 1 else 10.0 if done < 50 else 1.0  # a slow start, then other work that ends
    lines = capsys.readouterr().out.splitlines()
    found = {int(line.split("[")[1].split("/")[0]): line.rpartition(" ")[2] for line in lines}
    later = next(done for done in sorted(found) if done > 150)
    assert found[later] == str(timedelta(seconds=200 - later))  # over the whole time it would be five times that


def test_progress_bar_on_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for item in progress([1, 2], desc="evaluate test"):
        logging.getLogger("dassl").info("line %d", item)
    captured = capsys.readouterr()
    assert captured.out == "line 1\nline 2\n"
    assert "evaluate test" in captured.err


def test_error_types():
    assert issubclass(utils.MissingFileError, FileNotFoundError)
    assert issubclass(utils.CheckError, AssertionError)
    assert issubclass(utils.UnsupportedError, NotImplementedError)
    for kind in (utils.MissingFileError, utils.CheckError, utils.UnsupportedError, utils.NotAvailableError):
        assert issubclass(kind, utils.InputError)
        assert str(kind("what is wrong")) == "what is wrong"
        assert utils.input_error_sentence(kind("what is wrong")) == "what is wrong"


def test_set_random_seed():
    utils.set_random_seed(2**62 + 5)
    first = random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002
    utils.set_random_seed(2**62 + 5)
    assert first == (random.random(), np.random.rand(), torch.rand(1).item())  # noqa: NPY002
    utils.set_random_seed(1)
    assert random.random() == random.Random(1).random()
    assert torch.rand(1).item() == torch.rand(1, generator=torch.Generator().manual_seed(1)).item()


def test_stream_seed():
    assert utils.stream_seed(1, "epoch", 2) == 8982869521116174829
    seeds = {utils.stream_seed(1, "epoch", i) for i in range(100)} | {utils.stream_seed(1, "e", "poch", 2)}
    assert len(seeds) == 101
    assert all(0 <= s < 2**63 for s in seeds)


def test_seeded_puts_the_generators_back():
    utils.set_random_seed(3)
    expected = random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002
    utils.set_random_seed(3)
    with pytest.raises(RuntimeError), utils.seeded(7):
        inside = random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002
        raise RuntimeError
    assert expected == (random.random(), np.random.rand(), torch.rand(1).item())  # noqa: NPY002
    assert inside != expected


def test_base_seed(make_cfg, capsys):
    randomness._drawn_seed.cache_clear()  # drawn and logged once per process
    assert utils.base_seed(make_cfg("SEED", 0)) == 0
    assert capsys.readouterr().out == ""
    seed = utils.base_seed(make_cfg("SEED", -1))
    assert seed == utils.base_seed(make_cfg("SEED", -1)) >= 0
    assert capsys.readouterr().out == f"No seed is set (SEED is negative): this run uses seed {seed}\n"


def test_read_image_errors(tmp_path, image_root):
    assert utils.read_image(os.path.join(image_root, "toy", "red_thing", "0.png")).mode == "RGB"
    with pytest.raises(FileNotFoundError, match="none.png"):
        utils.read_image(str(tmp_path / "none.png"))
    whole = Path(image_root, "toy", "red_thing", "0.png").read_bytes()
    for name, content in {"empty.png": b"", "text.png": b"no image", "cut.png": whole[:300]}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(utils.InputError, match=name):
            utils.read_image(str(tmp_path / name))


def test_env_info(monkeypatch):
    monkeypatch.setenv("DASSL_ENV_INFO", "short")
    info = utils.collect_env_info()
    assert f"PyTorch version: {torch.__version__}" in info
    assert "Pillow (" in info


def test_parameter_helpers():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    assert utils.count_num_param(model) == 9 + 6
    assert utils.count_num_param(params=model[0].parameters()) == 9
    assert utils.count_num_param(params=[{"params": list(model.parameters())}]) == 15
    with pytest.raises(ValueError, match="model or params"):
        utils.count_num_param()

    utils.open_specified_layers(model, "1")
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, True]
    assert (model[0].training, model[1].training) == (False, True)
    with pytest.raises(ValueError, match="not a layer"):
        utils.open_specified_layers(model, ["2"])
    utils.open_all_layers(model)
    assert all(p.requires_grad for p in model.parameters())
    utils.init_network_weights(model, "orthogonal", gain=1.0)
    torch.testing.assert_close(model[0].weight.T @ model[0].weight, torch.eye(2))
    assert model[0].bias.abs().sum() == 0
    with pytest.raises(NotImplementedError, match="xavier"):
        utils.init_network_weights(model, "magic")


def test_a_name_that_is_not_given_has_no_nearest_one():
    with pytest.raises(utils.InputError, match=r"^No trainer is given; it is one of \[a, B, c\]$"):
        utils.check_availability("", ["c", "B", "a"], "trainer")
