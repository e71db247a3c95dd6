"""Wrong training labels: their models, config keys, manifests, and noise of the real world."""
