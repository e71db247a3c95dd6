"""Datasets, one a file. Importing this package imports every module in it, so a new file registers itself."""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    if _module.name != "__main__":  # that one runs the command line
        import_module(f"{__name__}.{_module.name}")
