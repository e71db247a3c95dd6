"""Modules that are exported with every method: they adapt it to upstream Dassl."""
