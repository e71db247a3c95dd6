"""Outputs of a test, image by image: `kept` collects and writes them, `reading` and `tables` read, `scores` computes
all figures from them. No model is needed for it. The format: docs/outputs.md."""
