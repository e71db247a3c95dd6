"""Code that one to three methods use, kept out of their files so that these stay short."""
