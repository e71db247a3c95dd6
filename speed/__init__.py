"""Measurements of time, memory and file sizes beside plain implementations. Not part of the tests."""
