"""Loaders: batches depend on the seed only; upstream's draws on request; damaged images are named."""

import gc
import os
import pickle
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import toy

from dassl.data import DataManager, DatasetWrapper
from dassl.data.data_manager import build_data_loader
from dassl.data.samplers import build_sampler
from dassl.data.transforms import build_transform
from dassl.data.workers import usable_workers
from dassl.utils import InputError, input_error_sentence

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")
RANDOM = ("random_resized_crop", "random_flip", "colorjitter", "cutout", "random_translation", "normalize")


class NumpyNoise(DatasetWrapper):
    """A user's wrapper that draws from all three generators."""

    def __getitem__(self, idx):
        item = super().__getitem__(idx)
        item["draws"] = np.array([np.random.rand(), random.random(), torch.rand(1).item()])  # noqa: NPY002
        return item


def loader_of(cfg, is_train=True, wrapper=NumpyNoise, batch_size=8):
    data = toy.ToyFolder(cfg).train_x
    tfm = build_transform(cfg, is_train=is_train)
    return build_data_loader(
        cfg,
        "RandomSampler" if is_train else "SequentialSampler",
        data,
        batch_size,
        tfm=tfm,
        is_train=is_train,
        dataset_wrapper=wrapper,
    )


def epochs(loader, number):
    return [[(b["index"].tolist(), b["img"].clone(), b["draws"].clone()) for b in loader] for _ in range(number)]


def same(a, b):
    return all(
        x[0] == y[0] and torch.equal(x[1], y[1]) and torch.equal(x[2], y[2])
        for ea, eb in zip(a, b, strict=True)
        for x, y in zip(ea, eb, strict=True)
    )


@pytest.fixture(autouse=True)
def enough_cpus(monkeypatch):
    monkeypatch.setattr("dassl.data.data_manager.usable_workers", lambda requested: requested)


def test_batches_do_not_depend_on_workers(make_cfg):
    runs = []
    for workers in (0, 2, 4):
        cfg = make_cfg("DATALOADER.NUM_WORKERS", workers, "INPUT.TRANSFORMS", RANDOM)
        loader = loader_of(cfg)
        random.seed(workers)  # the global generators must not matter
        np.random.seed(workers)  # noqa: NPY002
        torch.manual_seed(workers)
        runs.append(epochs(loader, 2))
    assert same(runs[0], runs[1])
    assert same(runs[0], runs[2])
    first, second = runs[0]
    assert len(first) == 2  # 20 images, the incomplete batch dropped
    assert first[0][0] != second[0][0]  # another order in the next epoch
    draws = torch.cat([b[2] for e in runs[0] for b in e]).flatten()
    assert draws.unique().numel() == draws.numel()  # and no two items share their draws


def test_global_generators_are_left_alone(make_cfg):
    for workers in (0, 1):
        loader = loader_of(make_cfg("DATALOADER.NUM_WORKERS", workers, "INPUT.TRANSFORMS", RANDOM))
        states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
        epochs(loader, 1)
        assert random.getstate() == states[0]
        assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), states[2])


def test_set_epoch_and_seed(make_cfg):
    cfg = make_cfg("INPUT.TRANSFORMS", RANDOM)
    loader = loader_of(cfg)
    one, two = epochs(loader, 2)
    loader.set_epoch(0)
    assert same([one], epochs(loader, 1))
    assert same([two], epochs(loader, 1))  # a second pass within the epoch is another one
    loader.set_epoch(1)
    other = epochs(loader, 1)
    assert not same([one], other)
    assert not same([two], other)
    assert not same([one], epochs(loader_of(make_cfg("INPUT.TRANSFORMS", RANDOM, "SEED", 2)), 1))


def test_test_loader_repeats_itself(make_cfg):
    loader = loader_of(make_cfg(), is_train=False)
    one, two = epochs(loader, 2)
    assert same([one], [two])
    assert [i for b in one for i in b[0]] == list(range(20))  # in order, nothing dropped


def test_dataset_travels_to_spawned_workers(make_cfg):
    dataset = loader_of(make_cfg(), is_train=False).dataset
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[0]["img"], dataset[0]["img"])
    assert len(copy) == 20


def test_k_transforms_and_extra_images(make_cfg):
    cfg = make_cfg("DATALOADER.K_TRANSFORMS", 2, "DATALOADER.RETURN_IMG0", True)
    batch = next(iter(loader_of(cfg)))
    assert len(batch["img"]) == 2
    assert not torch.equal(*batch["img"])
    assert batch["img0"].shape == (8, 3, 16, 16)
    tfm = [build_transform(cfg, is_train=False)] * 2
    item = DatasetWrapper(cfg, toy.ToyFolder(cfg).val, transform=tfm)[3]
    assert {"label", "target", "gttarget", "domain", "impath", "index", "img", "img2", "img0"} == set(item)
    assert (item["label"], item["domain"], item["index"]) == (1, 0, 3)
    assert os.path.basename(item["impath"]) == "6.png"
    with pytest.raises(ValueError, match="K_TRANSFORMS"):
        DatasetWrapper(cfg, [], transform=None, is_train=True)
    raw = DatasetWrapper(make_cfg(), toy.ToyFolder(cfg).val)[0]
    assert raw["img"].size == (28, 20)


def test_persistent_workers_see_changes(make_cfg):
    """Workers live on between epochs, but not when the labels or an attribute of the data set changed."""
    loader = loader_of(make_cfg("DATALOADER.NUM_WORKERS", 1), is_train=False)
    list(loader)
    workers = loader._iterator._workers
    list(loader)
    assert loader._iterator._workers is workers
    loader.dataset.data_source[0].label = 3
    assert next(iter(loader))["label"][0] == 3
    assert loader._iterator._workers is not workers
    loader.dataset.transform = build_transform(loader.dataset.cfg, is_train=False, choices=[])
    assert loader.dataset.wrapped.transform is loader.dataset.transform
    assert next(iter(loader))["img"].min() >= 0


def test_passes_may_be_left_early_or_nested(make_cfg):
    expected = [b[0] for b in epochs(loader_of(make_cfg(), is_train=False, batch_size=4), 1)[0]]
    loader = loader_of(make_cfg("DATALOADER.NUM_WORKERS", 2), is_train=False, batch_size=4)
    assert next(iter(loader))["index"].tolist() == expected[0]
    outer = []
    for batch in loader:
        outer.append(batch["index"].tolist())
        if len(outer) == 2:
            assert [b["index"].tolist() for b in loader] == expected
    assert outer == expected


def test_upstream_rng_check_value():
    """Order that upstream gives after torch.manual_seed(1): 6 items, batches of 2, no workers."""
    cfg = SimpleNamespace(DATALOADER={"UPSTREAM_RNG": True}, USE_CUDA=False)
    cfg.DATALOADER = SimpleNamespace(NUM_WORKERS=0, get=lambda key, default: True)
    loader = build_data_loader(
        cfg, "RandomSampler", list(range(6)), 2, dataset_wrapper=lambda cfg, data, transform, is_train: data
    )
    torch.manual_seed(1)
    assert [b.tolist() for b in loader] == [[0, 1], [4, 3], [2, 5]]


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_image_is_named(make_cfg, tmp_path, workers):
    toy.write_images(tmp_path, number=9)
    path = tmp_path / "toy" / "blue_thing" / "3.png"
    path.write_bytes(path.read_bytes()[:200])
    loader = loader_of(make_cfg("DATASET.ROOT", str(tmp_path), "DATALOADER.NUM_WORKERS", workers), is_train=False)
    with pytest.raises(InputError) as caught:
        list(loader)
    sentence = input_error_sentence(caught.value)
    assert sentence.startswith(f"image file {path} cannot be read (")
    assert sentence.endswith("replace it by an intact copy")
    assert "\n" not in sentence


def test_workers_are_limited_to_the_cpus(capsys):
    assert usable_workers(0) == 0
    assert usable_workers(10_000) < 10_000
    assert "NUM_WORKERS lowered from 10000 to" in capsys.readouterr().out


def test_no_batch(make_cfg):
    with pytest.raises(AssertionError, match="split is empty"):
        build_data_loader(make_cfg(), data_source=[])


def test_data_manager(make_cfg, capsys):
    dm = DataManager(make_cfg("DATASET.NUM_SHOTS", 3))
    assert (len(dm.dataset.train_x), dm.num_classes, dm.num_source_domains) == (12, 4, 0)
    assert dm.lab2cname == dict(enumerate(toy.CLASSES))
    assert dm.train_loader_u is None
    assert (len(dm.train_loader_x), len(dm.val_loader), len(dm.test_loader)) == (1, 1, 1)
    assert dm.train_loader_x.dataset.data_source is dm.dataset.train_x
    out = capsys.readouterr().out
    assert "Loading dataset: ToyFolder\n" in out
    assert "# train_x  12\n" in out

    custom = build_transform(make_cfg(), is_train=False)
    capsys.readouterr()
    dm = DataManager(make_cfg("VERBOSE", False), custom_tfm_train=[custom, custom], dataset_wrapper=NumpyNoise)
    assert "* Using custom transform for training\n" in capsys.readouterr().out
    assert {"img", "img2", "draws"} <= set(next(iter(dm.train_loader_x)))


def test_unknown_dataset(make_cfg):
    with pytest.raises(ValueError, match=r"ToyFold\] \(do you mean \[ToyFolder\]\?\)"):
        DataManager(make_cfg("DATASET.NAME", "ToyFold"))


def test_domain_and_class_samplers():
    data = [SimpleNamespace(domain=i % 3, label=i % 5) for i in range(60)]
    order = list(build_sampler("RandomDomainSampler", data_source=data, batch_size=6, n_domain=2))
    assert len(order) == len(build_sampler("RandomDomainSampler", data_source=data, batch_size=6, n_domain=2))
    assert len(set(order)) == len(order)
    for i in range(0, len(order), 6):
        assert len({data[j].domain for j in order[i : i + 6]}) == 2
    order = list(build_sampler("SeqDomainSampler", data_source=data, batch_size=6))
    assert [data[j].domain for j in order[:6]] == [0, 0, 1, 1, 2, 2]
    assert len(order) == 60

    sampler = build_sampler("RandomClassSampler", data_source=data[:52], batch_size=8, n_ins=4)
    order = list(sampler)
    assert len(order) == len(sampler)
    for i in range(0, len(order), 8):
        labels = [data[j].label for j in order[i : i + 8]]
        assert sorted(labels.count(y) for y in set(labels)) == [4, 4]
    few = build_sampler("RandomClassSampler", data_source=data[:10], batch_size=8, n_ins=4)
    assert len(list(few)) == len(few) == 16  # two images a class, padded to four
    for name, kwargs in {
        "RandomDomainSampler": {"batch_size": 7, "n_domain": 2},
        "RandomClassSampler": {"batch_size": 2, "n_ins": 4},
        "RandSampler": {},
    }.items():
        with pytest.raises(ValueError, match=r"."):
            build_sampler(name, data_source=data, **kwargs)


def test_workers_end_with_their_loader(make_cfg):
    """Also when the loader is part of a reference cycle, as in a trainer: at once, not after torch's time-out."""
    loader = loader_of(make_cfg("DATALOADER.NUM_WORKERS", 1), is_train=False)
    list(loader)
    workers = loader._iterator._workers
    assert all(worker.is_alive() for worker in workers)
    cycle = SimpleNamespace(loader=loader)
    cycle.self = cycle
    del loader, cycle
    gc.collect()
    assert [worker.exitcode for worker in workers] == [0]  # told to end; after torch's time-out it would be terminated


def test_batches_have_the_keys_of_forks_for_noisy_labels(make_cfg):
    """`target` and `gttarget`, as NLPrompt's trainer reads them, where a dataset file changed a label."""
    cfg = make_cfg()
    cfg.DATASET.NOISE_RATE = 0.5  # the fork's own key
    dataset = toy.ToyFolder(cfg)
    dataset.train_x[3].label = 2
    tfm = build_transform(cfg, is_train=False)
    (batch,) = build_data_loader(cfg, data_source=dataset.train_x[:4], batch_size=4, tfm=tfm, is_train=False)
    assert batch["label"].tolist() == batch["target"].tolist() == [0, 0, 0, 2]
    assert batch["gttarget"].tolist() == [0, 0, 0, 0]

    class Bare:  # a Datum of a checkout's own
        label, domain, impath = 1, 0, dataset.train_x[0].impath

    item = DatasetWrapper(cfg, [Bare()], transform=tfm)[0]
    assert (item["target"], item["gttarget"]) == (1, 1)


@pytest.mark.parametrize(
    ("rate", "changed", "said"), [(0.5, 0, True), (0.5, 1, False), (0.0, 0, False), (None, 0, False)]
)
def test_the_engine_does_not_seem_to_make_noise(make_cfg, monkeypatch, capsys, rate, changed, said):
    from dassl.data import DataManager, data_manager

    def with_changes(cfg):
        dataset = toy.ToyFolder(cfg)
        for item in dataset.train_x[:changed]:
            item.label = 3
        return dataset

    monkeypatch.setattr(data_manager, "build_dataset", with_changes)
    cfg = make_cfg()
    if rate is not None:
        cfg.DATASET.NOISE_RATE = rate
    DataManager(cfg)
    assert ("NOISE_RATE is 0.5, but the engine makes no wrong labels" in capsys.readouterr().out) is said
