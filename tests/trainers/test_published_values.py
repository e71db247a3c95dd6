"""The values that methods have for each dataset, row by row as their authors' tables have them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from dassl.engine import TRAINER_REGISTRY

NAMES = {"DTD": "DescribableTextures"}
# BETA and lambda of base-to-new and few-shot training, and the BETA of each target of a training on ImageNet
MMRLPP = """
    ImageNet      0.9  0.2   0.9
    FGVCAircraft  0.9  2     0.9
    UCF101        0.9  3     0.9
    DTD           0.9  7     0.5
    OxfordPets    0.7  0.01  0.6
    StanfordCars  0.7  6     0.3
    Caltech101    0.6  3     0.6
    SUN397        0.5  3     0.7
    OxfordFlowers 0.4  7     0.4
    EuroSAT       0.2  0.01  0.3
    Food101       0.1  1     0.3
    ImageNetV2    -    -     0.9
    ImageNetR     -    -     0.9
    ImageNetA     -    -     0.8
    ImageNetSketch -   -     0.7
"""
# words; epochs and n on CoOp; n on CoCoOp, whose epochs are 10; epochs and n on MaPLe
ATPROMPT = """
    ImageNet      color,shape            10  2  2  5  4
    Caltech101    shape,size             100 2  2  10 4
    OxfordPets    playfulness,energy     100 2  2  10 4
    StanfordCars  luxury                 100 2  6  5  4
    OxfordFlowers color,habitat,growth   100 2  6  10 4
    Food101       flavor,preparation     100 2  2  5  4
    FGVCAircraft  design,range           100 2  2  5  2
    SUN397        function               100 2  2  5  4
    DTD           pattern,color,design   100 4  2  5  4
    EuroSAT       habitat                100 2  6  10 4
    UCF101        precision              100 2  4  5  2
"""
# start values of beta and alpha, ends of their ranges
TIP = """
    Caltech101    1 3     12 5
    DTD           1 2     13 13
    EuroSAT       1 2     12 10
    FGVCAircraft  1 5     30 30
    Food101       1 1.17  10 10
    SUN397        1 1.17  12 10
    ImageNet      1 1.17  7  3
    OxfordPets    1 1.17  7  3
    OxfordFlowers 1 10    50 50
    StanfordCars  1 3     20 10
    UCF101        1 3     7  3
"""


def rows(table: str) -> list[tuple[str, list[str]]]:
    split = [line.split() for line in table.strip().splitlines()]
    return [(NAMES.get(name, name), values) for name, *values in split]


def overrides(method: str, dataset: str, task: str = "B2N", **nodes: SimpleNamespace) -> dict:
    cfg = SimpleNamespace(DATASET=SimpleNamespace(NAME=dataset), TASK=task, TRAINER=SimpleNamespace(**nodes))
    return TRAINER_REGISTRY.get(method).dataset_overrides(cfg)


@pytest.mark.parametrize(("dataset", "values"), rows(MMRLPP))
def test_mmrlpp(dataset, values):
    from trainers.parts.mmrlpp_config import BETA_OF_TARGET

    beta, weight, target = values
    expected = {} if beta == "-" else {"TRAINER.MMRLpp.BETA": float(beta), "TRAINER.MMRLpp.REG_WEIGHT": float(weight)}
    assert overrides("MMRLpp", dataset) == overrides("MMRLpp", dataset, "FS") == expected
    assert BETA_OF_TARGET[dataset] == float(target) and len(BETA_OF_TARGET) == len(rows(MMRLPP))


@pytest.mark.parametrize(("dataset", "values"), rows(ATPROMPT))
def test_atprompt(dataset, values):
    words, epochs, n, of_cocoop, of_maple, n_maple = values
    hosts = {"CoOp": (n, epochs), "CoCoOp": (of_cocoop, 10), "MaPLe": (n_maple, of_maple)}
    for host, (length, count) in hosts.items():
        found = overrides(f"{host}ATPrompt", dataset)
        assert found.pop("OPTIM.MAX_EPOCH") == int(count)
        start = "TRAINER.ATPROMPT."
        used = found.pop(start + "ATT_NUM")
        texts = [found.pop(f"{start}ATT{i}_TEXT") for i in (1, 2, 3)]
        assert texts[:used] == words.split(",") and not any(texts[used:])
        assert len(found) == 4 and set(found.values()) == {int(length)}


@pytest.mark.parametrize(("dataset", "values"), rows(TIP))
def test_tip_adapter(dataset, values):
    expected = dict(zip(("BETA", "ALPHA", "BETA_RANGE", "ALPHA_RANGE"), map(float, values), strict=True))
    for search in ("val_fewshot", "none", "val_full", "test"):
        found = overrides("TipAdapter", dataset, TIPADAPTER=SimpleNamespace(SEARCH=search))
        assert found == (
            {f"TRAINER.TIPADAPTER.{k}": v for k, v in expected.items()}
            if "_fe" not in search and search != "none"
            else {}
        )
        trained = overrides("TipAdapterF", dataset, TIPADAPTER=SimpleNamespace(SEARCH=search))
        assert trained == found | ({"OPTIM.MAX_EPOCH": 100} if dataset == "EuroSAT" else {})
