"""Adapting to one test image: views, their ensemble, and the trainer, which keeps nothing from image to image."""
