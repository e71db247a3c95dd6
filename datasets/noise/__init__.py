"""Label noise in training sets: models of it, config keys, manifests, and real-world noise."""
