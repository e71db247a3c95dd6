"""Formats results as text tables, plots for papers, and the HTML report."""
