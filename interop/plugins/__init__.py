"""Other people's trainers and datasets on this harness: files given with `--plugin`, and packages that pip installed.

`load_plugins` imports them, `hosted` surrounds what a run does with them, docs/plugins.md tells how they are used.
"""
