"""Speed claims, each a ratio measured side by side. Not part of the tests."""
