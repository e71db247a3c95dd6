"""The frozen CLIP, prompted from outside: loading, tokenizing, prompted encoders, feature bank.

CLIP itself is never edited. The encoders here read the weights of the stock modules (package `clip`) and run
them with whatever prompts a method gives; without prompts they equal `encode_text` and `encode_image`.
"""

from .architecture import available_backbones
from .changed_blocks import BlockChange
from .context_prompts import ContextPrompts
from .errors import InputError
from .feature_bank import FeatureBank
from .fingerprint import arithmetic, fingerprint
from .frozen_text import frozen_text, long_key, text_key
from .image_encoder import ImageEncoder
from .image_key import image_list_key
from .input_size import check_input_size
from .load import load_clip
from .ops import normalize
from .prompt_parameters import DeepPrompts
from .seeding import derive_seed
from .split_text import SplitText
from .text_encoder import TextEncoder
from .tokens import tokenize
from .visual_weights import load_backbone, load_visual_weights

__version__ = "0.1.0"  # of RobustPrompt

__all__ = [
    "BlockChange",
    "ContextPrompts",
    "DeepPrompts",
    "FeatureBank",
    "ImageEncoder",
    "InputError",
    "SplitText",
    "TextEncoder",
    "arithmetic",
    "available_backbones",
    "check_input_size",
    "derive_seed",
    "fingerprint",
    "frozen_text",
    "image_list_key",
    "load_backbone",
    "load_clip",
    "load_visual_weights",
    "long_key",
    "normalize",
    "text_key",
    "tokenize",
]
