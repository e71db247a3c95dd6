"""CLIP's prompt templates for ImageNet under the names that trainers of the field import."""

from datasets.templates import FULL80, SELECTED

IMAGENET_TEMPLATES = list(FULL80)
IMAGENET_TEMPLATES_SELECT = list(SELECTED)
