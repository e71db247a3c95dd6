"""Training with wrong labels: robust losses, finding and filtering noisy items, memorisation curves."""
