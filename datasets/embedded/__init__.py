"""The embedded suite: renderers, downstream sets, and the training of the embedded CLIP (README.md is its card)."""
