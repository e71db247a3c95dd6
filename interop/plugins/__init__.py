"""Plugins: trainers and datasets of other projects, from files given with `--plugin` or from installed packages.

`load_plugins` imports them, `hosted` is the context in which a run uses them; docs/plugins.md says how to use them.
"""
