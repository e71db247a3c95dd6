"""Several steps of a checkout's train.py in one process: python drive.py STEPS.json

A list of {"run": arguments}, a run; {"write": {file: text}}; {"config": arguments, "key": dotted key}, which prints the
value there. Last come the files of all modules that were imported.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, "")  # as `python train.py` has it: the checkout's own packages first
import train

console = sys.stdout
for step in json.loads(Path(sys.argv[1]).read_text()):
    sys.stdout = console
    if "run" in step:
        train.main(train.parse_args(step["run"]))
    if "config" in step:
        value = train.setup_cfg(train.parse_args(step["config"])).clone()
        for part in step["key"].split("."):
            value = value[part]
        print("VALUE", value)  # noqa: T201
    for file, text in step.get("write", {}).items():
        Path(file).write_text(text)
for module in list(sys.modules.values()):
    print("FILE", getattr(module, "__file__", None))  # noqa: T201
