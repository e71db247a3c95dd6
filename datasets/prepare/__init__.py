"""`python -m datasets prepare NAME`: fetch what its publisher lets everyone fetch, laid out as CoOp's DATASETS.md says.

`recipes.py` and `manual.py` are the tables; `layout.py` follows a recipe; `transfer.py`, `drive.py` and `archive.py`
fetch and unpack.
"""
