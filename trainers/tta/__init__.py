"""Adapting to one test image: views, their ensemble, the trainer that tunes and forgets."""
