"""The exported methods, and the modules that they are in. The export writes this file anew."""

METHODS: dict[str, str] = {}
