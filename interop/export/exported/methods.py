"""The exported methods and their modules. `python -m trainers export` overwrites this file in the checkout."""

METHODS: dict[str, str] = {}
