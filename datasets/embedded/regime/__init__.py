"""The command of the regime card, `python -m datasets.embedded.regime`; see `bench/studies/regime.py`."""
