"""Datasets, one per file. Importing this package imports every module in its folder: a new file registers itself."""

from importlib import import_module
from pkgutil import iter_modules

from dassl.utils.moved import keep_old_paths

from .reading.moved import MOVED

keep_old_paths(__name__, MOVED)

for _module in iter_modules(__path__):
    if not _module.ispkg and _module.name != "__main__":  # that one runs the command line
        import_module(f"{__name__}.{_module.name}")
