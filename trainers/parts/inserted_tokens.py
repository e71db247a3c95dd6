"""The base of MMRL and ANPrompt: tokens put into the upper blocks of both towers, over frozen lower blocks."""

from __future__ import annotations

import torch
from torch import Tensor

from clipkit import SplitText, normalize
from datasets.templates import custom_template

from ..base import PromptTrainer
from ..shared.checks import check_blocks, check_vit

# MMRL's lambda for each dataset; ANPrompt has the same values except on EuroSAT
REG_WEIGHT_OF_DATASET = {
    "StanfordCars": 7.0,
    "FGVCAircraft": 6.0,
    "SUN397": 6.0,
    "DescribableTextures": 6.0,
    "Food101": 5.0,
    "OxfordFlowers": 4.0,
    "UCF101": 3.0,
    "ImageNet": 0.5,
    "Caltech101": 0.5,
    "OxfordPets": 0.2,
    "EuroSAT": 0.01,
}


class InsertedTokens(PromptTrainer):
    """Base of methods whose learner has `visual_prompts()` and `text_prompts()`: {block: tokens [K, width]}.

    The tokens go in after CLS and SOS before the first block of `self.layers`; before the later ones they are
    overwritten. The blocks below see no prompt and are frozen: the text's are run once for a set of class names, an
    image's once for the prompted and the frozen branch. The text is the dataset's template, without a learned context.
    """

    frozen_image_encoder = False
    images_read_no_names = True

    def build_frozen_side(self, layers: list[int], key: str) -> None:
        """Sets `layers` (`key`: their config key), the text below them, and f_t^0 [C, d], CLIP's own features."""
        backbone = self.cfg.MODEL.BACKBONE
        check_vit(self, "puts tokens into the image tower")
        depth = min(self.image_encoder.depth, self.text_encoder.depth)
        self.layers = sorted(layers)
        check_blocks(key, self.layers, depth, backbone.get("PATH", "") or backbone.NAME)
        self.lower_text = self.prepare_names(self.classnames)
        self.f_t0 = self.frozen_text(self._texts(self.classnames))

    def _texts(self, names: list[str]) -> list[str]:
        template = custom_template(self.cfg.DATASET.NAME)
        return [template.format(name) for name in names]

    def _lower(self, encoder, x):
        """The hidden state that enters the first block with tokens."""
        first = self.layers[0]
        return x if first == 1 else encoder.lower(x, until=first - 1)

    def prepare_names(self, names: list[str]) -> SplitText:
        """The names' texts, through the blocks below the first one with tokens."""
        return self._lower(self.text_encoder, self.text_encoder.split_texts(self._texts(names)))

    def encode_names(self, prepared: SplitText) -> Tensor:
        """[N, d]: the EOT feature of {SOS, tokens, template with the name, EOT}."""
        prompts = self.model.text_prompts()
        weight = {"start_block": self.layers[0], "replace_weight": self.token_weight()}
        return normalize(self.text_encoder.encode(prepared, insert=prompts, **weight).float())

    def token_weight(self) -> float:
        """w of overwritten tokens: w * new + (1 - w) * the previous block's output. Here 1."""
        return 1.0

    def encode_text(self) -> Tensor:
        return self.encode_names(self.lower_text)

    def image_sides(
        self, image: Tensor, prompts: dict[int, Tensor], frozen: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """(CLS feature [B, d], normalised; mean over the tokens' outputs after ln_post [B, D_v], fp32; CLIP's own
        feature [B, d] if `frozen`, else None)."""
        first = self.layers[0]
        # nothing is learned below the first block, but an attack needs the gradient to the image
        with torch.set_grad_enabled(torch.is_grad_enabled() and image.requires_grad):
            lower = self._lower(self.image_encoder, image.type(self.image_encoder.dtype))
            f_0 = normalize(self.image_encoder(lower, start_block=first).float()) if frozen else None
        weight = self.token_weight()
        f, tokens = self.image_encoder(lower, None, prompts, first, return_tokens=True, insert_weight=weight)
        return normalize(f.float()), tokens.float().mean(dim=1), f_0

    def test_sides(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The first two of `image_sides` in a test, with visual prompts that are made once."""

        def compute(image: Tensor) -> tuple[Tensor, Tensor]:
            return self.image_sides(image, self.once("visual prompts", self.model.visual_prompts), frozen=False)[:2]

        return self.tester.sides(image, compute)
