"""Compares the numbers of papers with the results of our runs."""
