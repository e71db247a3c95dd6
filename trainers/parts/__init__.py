"""Pieces of one or two methods that would make their files too long."""
