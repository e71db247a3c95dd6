"""Adversarial test sets: making them, describing them, keeping them on disk."""
