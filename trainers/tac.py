"""TAC: Task-Aware Clustering for Prompting Vision-Language Models (Hao et al., CVPR 2025)."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from yacs.config import CfgNode

from clipkit import ContextPrompts, DeepPrompts, InputError, derive_seed, frozen_text, normalize
from clipkit.tokens import tokenize
from dassl.engine import TRAINER_REGISTRY
from language import source_for

from .context import context_words
from .ivlp import IVLP, PromptLearner, VLPromptLearner
from .parts.aggregation import EpochAverage
from .parts.cosine_clusters import cosine_centres
from .parts.seeded_dropout import seeded_dropout
from .parts.tac_config import CONFIG_DEFAULTS, CONFIG_DOMAINS, N
from .shared.checks import check_depth, check_vit


class TACLearner(VLPromptLearner):
    """IVLP's prompts, and two maps of the fixed cluster centres P [K, d], which are made once and saved."""

    topk: Tensor

    def __init__(self, prompts: PromptLearner, image: DeepPrompts, text: DeepPrompts, centres: Tensor) -> None:
        super().__init__(prompts, image, text)
        widths = prompts.ctx.shape[1], image().popitem()[1].shape[1]
        self.VPT_topk_t, self.VPT_topk_v = (nn.Linear(centres.shape[1], width) for width in widths)
        self.register_buffer("topk", centres.clone())
        self.prompt_learner.register_buffer("topk", centres.clone())  # a second copy, as in the published files

    def beside(self, mapped: Tensor, prompts: dict[int, Tensor]) -> dict[int, Tensor]:
        """{block: [mapped centres; the block's own prompts]}: the centres are the same in every block."""
        return {block: torch.cat([mapped, own]) for block, own in prompts.items()}


@TRAINER_REGISTRY.register()
class TAC(EpochAverage, IVLP):
    """Deep prompts in both towers, joined by cluster centres of the training classes' descriptions, to which CLS
    attends and patches do not. Features are kept near those of the descriptions and of frozen CLIP; the tested model
    is the mean over the epochs.

    A step trains on several views of each image and needs the plain image too (K_TRANSFORMS, RETURN_IMG0).
    """

    node = "TRAINER.TAC"
    config_defaults = CONFIG_DEFAULTS
    config_domains = CONFIG_DOMAINS
    architecture = tuple(N + key.rpartition(".")[2] for key in IVLP.architecture)
    frozen_image_encoder = False
    images_read_no_names = True

    @classmethod
    def dataset_overrides(cls, cfg: CfgNode) -> dict:
        return {}

    def build_learner(self) -> TACLearner:
        cfg, encoder = self.method_cfg(), self.text_encoder
        check_vit(self, "puts tokens into the image tower")
        check_depth(N + "PROMPT_DEPTH_VISION", cfg.PROMPT_DEPTH_VISION, self.image_encoder.depth)
        check_depth(N + "PROMPT_DEPTH_TEXT", cfg.PROMPT_DEPTH_TEXT, encoder.depth)
        n, words = cfg.N_CTX_TEXT, context_words(cfg.CTX_INIT)
        template = f"{{ctx}} {words} {{name}}." if words else "{ctx} {name}."
        prompts = ContextPrompts(self.clip, self.classnames, 2 * n, template=template)
        with torch.no_grad():  # the first n tokens after SOS: behind the words come EOT and padding
            ctx = encoder.embed(tokenize(words, tokenizer=encoder.tokenizer))[0, encoder.first :][:n].float().clone()
        return TACLearner(
            PromptLearner(ctx, prompts),
            DeepPrompts(cfg.N_CTX_VISION, self.image_encoder.width, cfg.PROMPT_DEPTH_VISION),
            DeepPrompts(n, encoder.width, cfg.PROMPT_DEPTH_TEXT, first=False),
            torch.zeros(n, encoder.embed_dim),  # set by `targets`, or a checkpoint
        )

    @functools.cached_property
    def targets(self) -> Tensor:
        """w [C, d]: normalised means over each class's descriptions. Also computes the centres P, unless they exist."""
        source = source_for(self.cfg, self.method_cfg().CACHE, "main", self.classnames)
        self.record["language"] = {"main": {"source": source.name, "file": source.file, "sha256": source.sha256}}
        texts = [source.get(name) for name in self.classnames]
        clip = (self.text_encoder, self.bank, self.precision)
        flat = frozen_text([t for own in texts for t in own], *clip, False, too_long=self.cfg.LANGUAGE.TOO_LONG)
        w = normalize(torch.stack([own.mean(0) for own in flat.split([len(own) for own in texts])]))
        model, seed = self.model, derive_seed(max(self.cfg.SEED, 0), "clusters")
        if not model.topk.any():
            model.topk.copy_(cosine_centres(w, len(model.topk), seed, N + "N_CTX_TEXT"))
            model.prompt_learner.topk.copy_(model.topk)
        return w

    def before_train(self) -> None:
        if not self.cfg.DATALOADER.RETURN_IMG0:
            raise InputError("TAC compares with the plain image: set DATALOADER.RETURN_IMG0 to True.")
        assert self.targets.ndim == 2  # made before a checkpoint is resumed
        super().before_train()

    def epoch_weights(self) -> Tensor:
        epochs = self.cfg.OPTIM.MAX_EPOCH
        return torch.full((epochs,), 1 / epochs, dtype=torch.float64)

    def encode_names(self, prepared: ContextPrompts) -> Tensor:
        """[N, d]: [SOS][p_t][ctx] before the written prompt; p_t and the block's own prompts again in later blocks."""
        model = self.model
        p_t = model.VPT_topk_t(model.topk)
        text = prepared.split(torch.cat([p_t, model.prompt_learner.ctx]))
        return normalize(self.text_encoder.encode(text, replace=model.beside(p_t, model.text_encoder())).float())

    def visual_prompts(self) -> tuple[dict[int, Tensor], Tensor]:
        """({block: [p_v; own prompts]}, which stand after the patches; attention mask, in which patches do not see
        p_v)."""
        model, n = self.model, len(self.model.topk)
        end = 1 + (self.image_encoder.input_size // self.image_encoder.patch) ** 2  # of the patches
        size = end + n + self.method_cfg().N_CTX_VISION
        sees = torch.ones(size, size, dtype=torch.bool, device=self.device)
        sees[1:end, end : end + n] = False
        return model.beside(model.VPT_topk_v(model.topk), model.image_encoder()), sees

    def prompted_image(self, image: Tensor) -> Tensor:
        """[B, d], not normalised."""
        prompts, sees = self.once("vision", self.visual_prompts)
        return self.image_encoder(image.type(self.image_encoder.dtype), replace=prompts, sees=sees).float()

    def dropped(self, features: Tensor, what: str) -> Tensor:
        """Features [N, d] after dropout, which depends on seed, epoch and step alone; normalised."""
        seed = derive_seed(max(self.cfg.SEED, 0), what, self.epoch, self.batch_idx)
        return normalize(seeded_dropout(features, self.method_cfg().DROPOUT, seed))

    def parse_batch_train(self, batch: dict) -> tuple[Tensor, Tensor, Tensor]:
        """The views one after the other [V B, 3, H, W], their labels, and the plain images [B, 3, H, W]."""
        views = batch["img"] if isinstance(batch["img"], list) else [batch["img"]]
        image, label, plain = torch.cat(views), batch["label"].repeat(len(views)), batch["img0"]
        return image.to(self.device), label.to(self.device), plain.to(self.device)

    def loss(self, image: Tensor, label: Tensor, plain: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """L = CE + 20 mean |t - w| + 25 mean |f - f0|, f0 frozen CLIP's feature of the plain image."""
        cfg, w = self.method_cfg(), self.targets
        t, f = self.encode_text(), self.dropped(self.prompted_image(image), "dropout")
        f0 = self.frozen_image(plain)
        f0 = (self.dropped(f0, "frozen dropout") if cfg.FROZEN_DROPOUT else f0).repeat(len(f) // len(f0), 1)
        logits = self.logits(f, t)
        return logits, {
            "ce": F.cross_entropy(logits, label),
            "text": cfg.TEXT_LOSS_WEIGHT * F.l1_loss(t, w),
            "image": cfg.IMAGE_LOSS_WEIGHT * F.l1_loss(f, f0),
        }
