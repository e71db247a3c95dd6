"""Few-shot draws as measured on upstream, and the helpers of DatasetBase."""

import pickle
import random

import pytest
import toy

from dassl.data.datasets import DatasetBase, Datum
from dassl.utils import InputError


@pytest.fixture
def items(tmp_path):
    path = tmp_path / "image.png"
    path.touch()
    return toy.vector_items(path)


@pytest.fixture
def dataset(items):
    return DatasetBase(train_x=items)


def numbers(sampled):
    return [item.domain for item in sampled]


def test_fewshot_vector(dataset, items):
    random.seed(1)
    four = dataset.generate_fewshot_dataset(items, num_shots=4)
    assert numbers(four) == [2, 1, 4, 0, 17, 19, 18, 15, 20, 21, 22, 26, 24, 23, 29]
    two = dataset.generate_fewshot_dataset(items, num_shots=2)
    assert numbers(two) == [0, 6, 16, 10, 22, 21, 25, 28]
    assert random.random() == 0.8018263669964836


def test_fewshot_repeat_vector(dataset, items):
    random.seed(1)
    drawn = numbers(dataset.generate_fewshot_dataset(items, num_shots=4, repeat=True))
    assert drawn[8:] == [21, 20, 21, 22, 26, 29, 27, 23]


def test_fewshot_two_sources(dataset, items):
    random.seed(1)
    pair = dataset.generate_fewshot_dataset(items, items, num_shots=1)
    assert [numbers(part) for part in pair] == [[2, 19, 20, 25], [1, 17, 21, 26]]


def test_no_shots_no_change(dataset, items, capsys):
    state = random.getstate()
    assert dataset.generate_fewshot_dataset(items) is items
    assert dataset.generate_fewshot_dataset(items, items, num_shots=0) == (items, items)
    assert random.getstate() == state
    assert capsys.readouterr().out == ""
    dataset.generate_fewshot_dataset(items, items, num_shots=3)
    assert capsys.readouterr().out == "Creating a 3-shot dataset\n"


def test_class_tables(dataset):
    assert dataset.num_classes == 6
    assert dataset.classnames == ["c0", "c1", "c2", "c5"]
    assert dataset.lab2cname == {2: "c2", 0: "c0", 1: "c1", 5: "c5"}
    assert list(dataset.split_dataset_by_label(dataset.train_x)) == [2, 0, 1, 5]
    assert len(dataset.split_dataset_by_domain(dataset.train_x)) == 30


def test_empty_training_set():
    with pytest.raises(InputError, match="no training images"):
        DatasetBase(train_x=[])


def test_datum(items, tmp_path, monkeypatch):
    with pytest.raises(AssertionError):
        Datum(impath=tmp_path)
    with pytest.warns(UserWarning, match="No file found"), pytest.raises(AssertionError, match="missing.png"):
        Datum(impath=str(tmp_path / "missing.png"))
    monkeypatch.setenv("DASSL_SKIP_FILE_CHECK", "1")
    Datum(impath=str(tmp_path / "missing.png"))

    item = items[0]
    assert set(vars(item)) == {"_impath", "_label", "_domain", "_classname"}  # what upstream's caches hold
    assert vars(pickle.loads(pickle.dumps(item))) == vars(item)
    assert (item.target, item.gttarget) == (2, 2)
    item.label = 4
    assert (item.label, item.gttarget) == (4, 2)
    with pytest.raises(AttributeError):
        item.impath = "x"


def test_domains(dataset):
    dataset.domains = ["photo"]
    dataset.check_input_domains(["photo"], [])
    with pytest.raises(ValueError, match="sketch"):
        dataset.check_input_domains(["photo"], ["sketch"])
