"""Launches many runs, and turns their results into tables, plots and pages."""
