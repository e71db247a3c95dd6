"""What one comparison asks for and shows: its runs, its tables, its figures."""
