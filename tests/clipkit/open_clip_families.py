"""Small random models of the families beside OpenAI's layout, in folders as open_clip writes them."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors.torch
from open_clip_random import random_model
from torch import nn

WORDS = ["[PAD]", "</s>", "[UNK]", "[CLS]", "[SEP]", ".", "x", "a", "the", "of", "photo", "cat", "dog", "two", "small",
         "dogs", "very", "striped", "circle", "dotted", "star", "checkered", "house", "plain", "tree", "speckled",
         "fish"]  # fmt: skip
IMAGE = {"image_size": 32}
BPE_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 3}
SIGLIP_TEXT = {
    "context_length": 32, "vocab_size": len(WORDS), "hf_tokenizer_name": "test/siglip",
    "tokenizer_kwargs": {"clean": "canonicalize"},
    "width": 64, "heads": 2, "layers": 3, "no_causal_mask": True, "proj_bias": True, "pool_type": "last",
    "norm_kwargs": {"eps": 1e-6}, "act_kwargs": {"approximate": "tanh"},
}  # fmt: skip
PLAIN_IMAGE = IMAGE | {"layers": 3, "width": 64, "head_width": 32, "patch_size": 8}
SETTINGS = {
    "A": {"embed_dim": 48, "text_cfg": BPE_TEXT, "vision_cfg": PLAIN_IMAGE},
    "B": {"embed_dim": 48, "custom_text": True, "text_cfg": BPE_TEXT,
          "vision_cfg": IMAGE | {"timm_model_name": "clipkit_test_eva", "timm_pool": "token", "timm_proj": None}},
    "B plain": {"embed_dim": 48, "custom_text": True, "text_cfg": BPE_TEXT,
                "vision_cfg": IMAGE | {"timm_model_name": "clipkit_test_vit", "timm_pool": "avg"}},
    "C": {"embed_dim": 64, "custom_text": True, "text_cfg": SIGLIP_TEXT, "init_logit_bias": -10,
          "vision_cfg": IMAGE | {"timm_model_name": "clipkit_test_siglip", "timm_pool": "map", "timm_proj": "none"}},
    "C'": {"embed_dim": 48, "custom_text": True, "text_cfg": BPE_TEXT | {"no_causal_mask": True},
           "vision_cfg": PLAIN_IMAGE},
    "E": {"embed_dim": 48, "vision_cfg": PLAIN_IMAGE,
          "text_cfg": {"hf_model_name": "test/bert", "hf_tokenizer_name": "test/bert", "hf_proj_type": "mlp",
                       "hf_pooler_type": "cls_last_hidden_state_pooler", "context_length": 32}},
    "E mean": {"embed_dim": 48, "vision_cfg": PLAIN_IMAGE,
               "text_cfg": {"hf_model_name": "test/bert", "hf_tokenizer_name": "test/bert", "hf_proj_type": "linear",
                            "hf_pooler_type": "mean_pooler", "context_length": 32}},
}  # fmt: skip


def register() -> None:
    """Tiny image towers under timm's names."""
    from timm.models import is_model, register_model
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    if is_model("clipkit_test_eva"):
        return
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 3, "num_heads": 2}

    def model(kind: type, **options: object):
        def make(pretrained: bool = False, **given: object) -> nn.Module:
            own = {
                key: value
                for key, value in given.items()
                if not key.startswith("pretrained_cfg") and key != "cache_dir"
            }
            found = kind(**sizes, **(options | own))
            found.default_cfg = found.pretrained_cfg = {"pool_size": None}
            return found

        return make

    rotary = {
        "use_rot_pos_emb": True,
        "ref_feat_shape": (4, 4),
        "qkv_fused": False,
        "swiglu_mlp": True,
        "scale_mlp": True,
    }
    towers = {
        "eva": model(Eva, **rotary),
        "vit": model(VisionTransformer),
        "siglip": model(VisionTransformer, class_token=False),
    }
    for name, make in towers.items():
        make.__name__, make.__module__ = f"clipkit_test_{name}", "timm.models.eva"
        register_model(make)


def bert_config():
    from transformers import BertConfig

    return BertConfig(
        vocab_size=len(WORDS), hidden_size=64, num_hidden_layers=3, num_attention_heads=2, intermediate_size=96,
        max_position_embeddings=40, pad_token_id=0,
    )  # fmt: skip


def write_tokenizer(folder: Path, bert: bool) -> None:
    """A tokenizer of whole words; as BERT's with [CLS] and [SEP], or as SigLIP's with the end alone."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    around = "[CLS] $A [SEP]" if bert else "$A </s>"
    special = [(word, WORDS.index(word)) for word in ("[CLS]", "[SEP]", "</s>")]
    words.post_processor = processors.TemplateProcessing(single=around, special_tokens=special)
    options = {"unk_token": "[UNK]", "pad_token": "[PAD]" if bert else "</s>", "eos_token": "</s>"}
    options |= {"cls_token": "[CLS]", "sep_token": "[SEP]"} if bert else {}
    PreTrainedTokenizerFast(tokenizer_object=words, **options).save_pretrained(str(folder))


def make_folder(folder: Path, family: str) -> nn.Module:
    """Fills the folder, for `local-dir:`; returns open_clip's model."""
    register()
    folder.mkdir(exist_ok=True)
    settings = SETTINGS[family]
    if family.startswith("E"):
        bert_config().save_pretrained(folder)
        (folder / "config.json").rename(folder / "text_config.json")
    model = random_model(settings, hf_config=bert_config())
    if "hf_tokenizer_name" in settings["text_cfg"]:
        write_tokenizer(folder, bert=family.startswith("E"))
    safetensors.torch.save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"} if family == "C" else {}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": settings, "preprocess_cfg": preprocess}))
    return model
