"""Defaults and typing of the configuration."""

import pytest
from yacs.config import CfgNode

from dassl.config import clean_cfg, get_cfg_default


def test_fresh_unfrozen_nodes():
    one, two = get_cfg_default(), get_cfg_default()
    one.INPUT.SIZE = (1, 1)
    one.TRAINER.COOP = CfgNode({"N_CTX": 16})
    assert type(one) is CfgNode
    assert two.INPUT.SIZE == (224, 224)
    assert "COOP" not in two.TRAINER
    one.DATALOADER.TRAIN_X.BATCH_SIZE = 7
    assert one.DATALOADER.TRAIN_U.BATCH_SIZE == 32


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("SEED", -1),
        ("INPUT.RRCROP_SCALE", (0.08, 1.0)),
        ("INPUT.PIXEL_MEAN", [0.485, 0.456, 0.406]),
        ("DATASET.SUBSAMPLE_CLASSES", "all"),
        ("DATALOADER.NUM_WORKERS", 4),
        ("DATALOADER.TRAIN_U.SAME_AS_X", True),
        ("MODEL.HEAD.DROPOUT", 0.0),
        ("OPTIM.SGD_DAMPNING", 0),
        ("OPTIM.STEPSIZE", (-1,)),
        ("OPTIM.WARMUP_CONS_LR", 1e-5),
        ("TEST.FINAL_MODEL", "last_step"),
        ("TRAINER.MIXMATCH.RAMPUP", 20000),
        ("TRAINER.CDAC.STRONG_TRANSFORMS", ()),
    ],
)
def test_defaults(key, value):
    node = get_cfg_default()
    for part in key.split("."):
        node = node[part]
    assert node == value
    assert type(node) is type(value)


def test_number_of_keys():
    """The specification has 135 keys; ten are ours."""

    def names(node, path=""):
        for key, value in node.items():
            yield from names(value, f"{path}{key}.") if isinstance(value, CfgNode) else [path + key]

    keys = set(names(get_cfg_default()))
    ours = {"OPTIM.ADAM_EPS", "DATASET.SUBSAMPLE_CLASSES", "DATALOADER.UPSTREAM_RNG", "DATALOADER.PERSISTENT_WORKERS"}
    ours |= {"DATALOADER.DECODED_CACHE_MB", "TEST.OUTPUTS"}
    ours |= {"TRAIN.ROLLING_SECONDS", "TRAIN.TENSORBOARD", "TRAIN.TRACKERS", "DATASET.FEWSHOT_FILE"}
    assert ours <= keys
    assert len(keys - ours) == 135


def test_yacs_typing():
    cfg = get_cfg_default()
    cfg.merge_from_list(["OPTIM.LR", "1e-5", "INPUT.SIZE", "[48, 48]"])
    assert cfg.OPTIM.LR == 1e-5
    assert cfg.INPUT.SIZE == (48, 48)
    with pytest.raises(ValueError, match="Type mismatch"):
        cfg.merge_from_list(["OPTIM.LR", "1"])
    with pytest.raises(AssertionError, match="Non-existent key"):
        cfg.merge_from_list(["OPTIM.LEARNING_RATE", "1.0"])
    with pytest.raises(KeyError):
        cfg.merge_from_other_cfg(CfgNode({"OPTIM": {"LEARNING_RATE": 1.0}}))


def test_clean_cfg():
    cfg = get_cfg_default()
    cfg.TRAINER.COOP = CfgNode({"N_CTX": 16})
    clean_cfg(cfg, "CoOp")
    assert sorted(cfg.TRAINER) == ["COOP", "NAME"]
