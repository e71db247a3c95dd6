"""Evaluates a trained method under attack: white-box, adaptive, sanity checks, reports. See docs/adversarial.md."""
