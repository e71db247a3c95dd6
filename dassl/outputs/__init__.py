"""Outputs of a test, image by image: `kept` collects and writes them, `reading` and `tables` read them, `scores`
computes all figures from them, without the model. The format: docs/outputs.md."""
