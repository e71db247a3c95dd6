"""Learnable tensors at the sizes of the real backbones: names, shapes and counts of the published implementations."""

from __future__ import annotations

import pytest
import torch

from clipkit import InputError as BackboneInputError
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import InputError

T = "TRAINER."
COPROMPT = {T + "CoPrompt.N_CTX": 4, T + "CoPrompt.PROMPT_DEPTH": 12}
LANGUAGE_ONLY = {T + "IVLP.N_CTX_VISION": 0, T + "IVLP.PROMPT_DEPTH_VISION": 0, T + "IVLP.N_CTX_TEXT": 4}
META_NET = {"linear1.weight": (32, 512), "linear1.bias": (32,), "linear2.weight": (512, 32), "linear2.bias": (512,)}
TKE = {"linear1.weight": (128, 512), "linear1.bias": (128,), "linear2.weight": (2048, 128), "linear2.bias": (2048,)}


def named(prefix: str, shapes: dict) -> dict:
    return {prefix + key: shape for key, shape in shapes.items()}


def deep(tower: str, blocks: int, shape: tuple) -> dict:
    """The prompts of blocks 2, 3, ... of one tower; keys count blocks from 0."""
    return {f"{tower}.transformer.resblocks.{i}.VPT_shallow": shape for i in range(1, blocks)}


def linears(prefix: str, count: int, d_out: int, d_in: int) -> dict:
    weights = {f"{prefix}.{i}.weight": (d_out, d_in) for i in range(count)}
    return weights | {f"{prefix}.{i}.bias": (d_out,) for i in range(count)}


def independent(n: int, depth: int) -> dict:
    """IVLP and PromptSRC."""
    shapes = {"prompt_learner.ctx": (n, 512), "image_encoder.VPT": (n, 768)}
    return shapes | deep("image_encoder", depth, (n, 768)) | deep("text_encoder", depth, (n, 512))


def coupled(n: int, depth: int) -> dict:
    """MaPLe, and CoPrompt without its adapters."""
    shapes = {"prompt_learner.ctx": (n, 512)}
    shapes |= {"prompt_learner.proj.weight": (768, 512), "prompt_learner.proj.bias": (768,)}
    shapes |= {f"prompt_learner.compound_prompts_text.{i}": (n, 512) for i in range(depth - 1)}
    return shapes | linears("prompt_learner.compound_prompt_projections", depth - 1, 768, 512)


def adapters() -> dict:
    both = {"fc.0.weight": (128, 512), "fc.2.weight": (512, 128)}
    return named("adapter_image.", both) | named("adapter_text.", both)


def representation(d_r: int) -> dict:
    prefix = "representation_learner.compound_rep_tokens"
    shapes = {prefix: (5, d_r), "image_encoder.proj_rep": (768, 512)}
    return shapes | linears(f"{prefix}_r2vproj", 7, 768, d_r) | linears(f"{prefix}_r2tproj", 7, 512, d_r)


def norms(tower: str, depth: int, width: int) -> dict:
    names = [f"{tower}transformer.resblocks.{i}.{norm}" for i in range(depth) for norm in ("ln_1", "ln_2")]
    return {f"{name}.{part}": (width,) for name in names for part in ("weight", "bias")}


def low_rank(depth: int, text: int, visual: int) -> dict:
    widths = [text] * depth + [visual] * depth
    parts = [(i, d, part) for i, d in enumerate(widths) for part in "qkv"]
    down = {f"layer_{i}.{part}_proj.w_lora_A": (2, d) for i, d, part in parts}
    return down | {f"layer_{i}.{part}_proj.w_lora_B": (d, 2) for i, d, part in parts}


# method, config pairs, learnable numbers, {key: shape}
VIT_B16 = [
    ("CoOp", {T + "COOP.CTX_INIT": "a photo of a"}, 2_048, {"ctx": (4, 512)}),
    ("CoOp", {}, 8_192, {"ctx": (16, 512)}),
    ("CoCoOp", {T + "COCOOP.CTX_INIT": "a photo of a"}, 35_360, {"ctx": (4, 512)} | named("meta_net.", META_NET)),
    ("KgCoOp", {T + "COOP.CTX_INIT": "a photo of a"}, 2_048, {"ctx": (4, 512)}),
    ("ProGrad", {}, 8_192, {"ctx": (16, 512)}),
    ("VPT", {}, 73_728, {"image_encoder.VPT": (8, 768)} | deep("image_encoder", 12, (8, 768))),
    ("IVLP", {}, 30_720, independent(2, 12)),
    ("IVLP", LANGUAGE_ONLY, 12 * 4 * 512, {"prompt_learner.ctx": (4, 512)} | deep("text_encoder", 12, (4, 512))),
    ("MaPLe", {}, 3_555_072, coupled(2, 9)),
    ("PromptSRC", {}, 46_080, independent(4, 9)),
    ("TCP", {T + "COOP.N_CTX": 4}, 331_904, {"ctx": (4, 512)} | named("meta_net.", TKE)),
    ("CoPrompt", COPROMPT, 5_014_528, coupled(4, 12) | adapters()),
    ("CoPrompt", {}, 3_817_216, coupled(2, 9) | adapters()),
    ("MMRL", {}, 4_992_256, representation(512)),
    ("DeFT", {}, 200_704, {"prompt_learner.pos_ctx": (16, 512), "prompt_learner.neg_ctx": (16, 512)}
     | {f"tuner.vpt_list.{i}.prompt": (20, 768) for i in range(12)}),
    ("LPpp", {}, 2 * (512 + 2), {"fc.weight": (2, 512), "fc.bias": (2,), "alpha_vec": (2,)}),
    ("TipAdapterF", {}, 8 * 512, {"adapter.weight": (8, 512), "values": (8,), "alpha": (), "beta": ()}),
    ("TipAdapter", {}, 0, {"adapter.weight": (8, 512), "values": (8,), "alpha": (), "beta": ()}),
    ("TwoSFS", {}, 61_440 + 2 * 512, {"head": (2, 512)} | norms("", 12, 512) | norms("visual.", 12, 768)),
    ("CLIPLoRA", {}, 184_320, low_rank(12, 512, 768)),
    ("MMRL", {T + "MMRL.REP_DIM": 2048}, 18_762_496, representation(2048)),
]  # fmt: skip
RESNET = [
    ("CoOp", {T + "COOP.N_CTX": 4}),
    ("CoCoOp", {T + "COCOOP.N_CTX": 4}),
    ("KgCoOp", {T + "COOP.N_CTX": 4}),
    ("ProGrad", {}),
    ("TCP", {T + "COOP.N_CTX": 4}),
    ("IVLP", LANGUAGE_ONLY),
]
PHI = {f"mid_image_trans.conv1.{i}.weight": (512, 512, 1, 1) for i in (0, 3)}
PHI |= {f"mid_image_trans.conv1.{i}.bias": (512,) for i in (0, 1, 3)} | {"mid_image_trans.conv1.1.weight": (512,)}
PHI |= {f"mid_image_trans.conv1.1.running_{what}": (512,) for what in ("mean", "var")}
PHI |= {"mid_image_trans.conv1.1.num_batches_tracked": ()}
CACHE = {"extractor.weight": (512, 1024), "memory_item": (25, 512)}
VIT_B16 += [
    (
        "TextRefiner",
        {T + "COOP.CTX_INIT": "a photo of a"},
        4 * 512 + 2 * (512 * 512 + 512) + 2 * 512 + 1024 * 512,
        {"prompt_learner.ctx": (4, 512)} | PHI | CACHE,
    ),
]
CLUSTERS = {"VPT_topk_t.weight": (512, 512), "VPT_topk_t.bias": (512,), "VPT_topk_v.weight": (768, 512)}
CLUSTERS |= {"VPT_topk_v.bias": (768,), "topk": (5, 512), "prompt_learner.topk": (5, 512)}
VIT_B16 += [("TAC", {}, 12 * 5 * (512 + 768) + 512 * 513 + 768 * 513, independent(5, 12) | CLUSTERS)]


def shared_maps(side: str, width: int) -> dict:
    prefix = f"representation_learner.srra_r2{side}proj."
    layers = [{f"{prefix}srra.{i}.A": (width, 4), f"{prefix}srra.{i}.B": (4, 512)} for i in range(7)]
    layers += [{f"{prefix}srra.{i}.bias": (width,) for i in range(7)}, {f"{prefix}weight": (width, 512)}]
    return {key: shape for layer in layers for key, shape in layer.items()}


VIT_B16 += [
    (
        "MMRLpp",
        {},
        5 * 512 + sum(512 * d + 7 * (4 * d + 4 * 512 + d) for d in (768, 512)) + 64 * (768 + 512),
        {"representation_learner.compound_rep_tokens": (5, 512), "image_encoder.A": (768, 64)}
        | {"image_encoder.B": (64, 512)}
        | shared_maps("v", 768)
        | shared_maps("t", 512),
    )
]


def beside(tower: str, width: int) -> dict:
    shapes = {"down.0.weight": (32, width), "down.0.bias": (32,), "up.weight": (width, 32), "up.bias": (width,)}
    return {f"{tower}_adapter.{b}.{key}": shape for b in range(5, 13) for key, shape in shapes.items()}


SHARED = {f"shared_adapter.{b}.0.{key}": shape for b in range(5, 13) for key, shape in
          (("weight", (32, 32)), ("bias", (32,)))}  # fmt: skip
VIT_B16 += [("MMA", {}, 8 * (33_312 + 49_952 + 1_056), beside("text", 512) | beside("visual", 768) | SHARED)]
NEEDS_TOKENS = ["VPT", "IVLP", "MaPLe", "PromptSRC", "CoPrompt", "MMRL", "ANPrompt", "CLIPLoRA"]
NEEDS_TOKENS += ["TextRefiner", "TwoSFS", "DeFT"]
BRANCH = {f"film_lp_{side}.{key}": (512,) for side in ("img", "text") for key in ("scale", "bias")}
BRANCH |= {"linear_probe_proj.weight": (2, 512), "linear_probe_proj.bias": (2,)}  # of two classes
ATTRIBUTES = {f"ctx_att{i}": (2, 512) for i in (1, 2, 3)}
TWO = {f"{T}ATPROMPT.N_ATT{i}": 2 for i in (1, 2, 3)}
VIT_B16 += [
    ("CoOpDePT", {}, 16 * 512 + 2_048 + 513 * 2, {"prompt_learner.ctx": (16, 512)} | BRANCH),
    ("KgCoOpDePT", {T + "COOP.N_CTX": 4}, 4 * 512 + 2_048 + 513 * 2, {"prompt_learner.ctx": (4, 512)} | BRANCH),
    ("MaPLeDePT", {}, 3_555_072 + 2_048 + 513 * 2, coupled(2, 9) | BRANCH),
    ("PromptSRCDePT", {}, 46_080 + 2_048 + 513 * 2, independent(4, 9) | BRANCH),
    ("CoOpATPrompt", {T + "COOP.N_CTX": 2} | TWO, 512 * 2 * (1 + 3), {"ctx": (2, 512)} | ATTRIBUTES),
    (
        "CoCoOpATPrompt",
        {T + "COCOOP.N_CTX": 2} | TWO,
        512 * 2 * 4 + 33_312,
        {"ctx": (2, 512)} | ATTRIBUTES | named("meta_net.", META_NET),
    ),
    ("MaPLeATPrompt", TWO, 3_555_072 + 3 * 1_024, coupled(2, 9) | named("prompt_learner.", ATTRIBUTES)),
]
VIT_B16 += [("ProMetaR", {}, 9 * 4 * (512 + 768), independent(4, 9))]
NEEDS_TOKENS += ["ProMetaR", "TAC", "MMRLpp", "MMA"]


def ids(cases: list) -> list[str]:
    return [f"{case[0]}-{i}" for i, case in enumerate(cases)]


@pytest.fixture(scope="module")
def build(tiny, tmp_path_factory):
    """A trainer on the tiny dataset's first two new classes with a randomly initialised backbone of real size."""

    def make(backbone: str, name: str, pairs: dict):
        settings = {"MODEL.BACKBONE.PATH": "", "MODEL.BACKBONE.NAME": f"random:{backbone}"}
        settings |= {"INPUT.SIZE": (224, 224), "DATASET.SUBSAMPLE_CLASSES": "new", "VERBOSE": False}
        settings |= TRAINER_REGISTRY.get(name).config_defaults  # not the tiny sizes of the other tests
        return tiny.trainer(tmp_path_factory.mktemp("run"), name, settings | pairs)

    return make


@pytest.mark.parametrize(("name", "pairs", "count", "shapes"), VIT_B16, ids=ids(VIT_B16))
def test_learnable_tensors_at_vit_b16(build, name, pairs, count, shapes):
    model = build("ViT-B/16", name, pairs).model
    assert {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()} == shapes
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == count


@pytest.mark.parametrize(("name", "pairs"), RESNET, ids=ids(RESNET))
def test_methods_with_a_frozen_image_tower_run_on_a_resnet(build, name, pairs):
    trainer = build("RN50", name, pairs)
    trainer.set_model_mode("train")
    trainer.epoch = trainer.batch_idx = 0
    torch.manual_seed(0)
    logits, terms = trainer.loss(torch.randn(1, 3, 224, 224), torch.tensor([1]))
    assert logits.shape == (1, 2) and torch.isfinite(logits).all()
    sum(terms.values()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in trainer.model.parameters())
    trainer.set_model_mode("eval")
    with torch.no_grad():
        assert trainer.model_inference(torch.randn(1, 3, 224, 224)).shape == (1, 2)


@pytest.mark.parametrize("name", NEEDS_TOKENS)
def test_methods_with_image_prompts_refuse_a_resnet(build, name):
    with pytest.raises((InputError, BackboneInputError), match="ResNet") as error:
        build("RN50", name, {})
    assert name in str(error.value) and "\n" not in str(error.value)
