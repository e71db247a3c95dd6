"""Tables as text, plots for papers, and the HTML report."""
