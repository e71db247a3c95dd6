"""The report: results as one HTML page that needs no other files."""
