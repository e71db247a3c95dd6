"""The plain classifier."""

import pytest
import torch
from torch import nn

from dassl.config import get_cfg_default
from dassl.engine import SimpleNet
from dassl.modeling import BACKBONE_REGISTRY, build_backbone, build_head, build_network


@BACKBONE_REGISTRY.register()
def toy_backbone(pretrained=True, **kwargs):
    model = nn.Flatten()
    model.out_features = 12
    return model


def test_simple_net(capsys):
    cfg = get_cfg_default()
    opts = ["MODEL.BACKBONE.NAME", "toy_backbone", "MODEL.HEAD.NAME", "mlp", "MODEL.HEAD.HIDDEN_LAYERS", (6, 5)]
    cfg.merge_from_list([*opts, "MODEL.HEAD.DROPOUT", 0.1])
    net = SimpleNet(cfg, cfg.MODEL, 4)
    x = torch.randn(2, 3, 2, 2)
    logits, feature = net(x, return_feature=True)
    assert (net.fdim, feature.shape, logits.shape) == (5, (2, 5), (2, 4))
    assert SimpleNet(cfg, cfg.MODEL, 0)(x).shape == (2, 5)
    assert "Backbone: toy_backbone\nHead: mlp\n" in capsys.readouterr().out


def test_resnet():
    net = build_backbone("resnet18", verbose=False, pretrained=False).eval()
    assert net(torch.randn(1, 3, 32, 32)).shape == (1, net.out_features) == (1, 512)


def test_unknown_names():
    with pytest.raises(ValueError, match="resnet18"):
        build_backbone("resnet19")
    with pytest.raises(ValueError, match="mlp"):
        build_head("mlpp")
    with pytest.raises(ValueError, match="none is registered"):
        build_network("generator")
