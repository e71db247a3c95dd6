"""Runs the code cells of a notebook in this process, without Jupyter.

python tests/notebooks.py docs/notebooks/first_run.ipynb    writes the cells' new outputs into the file
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import sys
from pathlib import Path


def source(cell: dict) -> str:
    return "".join(cell["source"])


def code_cells(file: Path) -> list[dict]:
    return [cell for cell in json.loads(file.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def shown(cell: dict) -> str:
    """What the file says that a cell printed and gave."""
    return "".join("".join(out.get("text") or out["data"]["text/plain"]) for out in cell["outputs"])


def executed(code: str, names: dict) -> tuple[str, str]:
    """(what a cell prints, the repr of its last expression) with the variables `names`, which it may change."""
    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "<cell>", "exec"), names)
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names) if last else None
    return printed.getvalue(), "" if value is None else repr(value)


def write_outputs(file: Path) -> None:
    """Execute all cells and write their outputs into the file."""
    notebook, names, count = json.loads(file.read_text(encoding="utf-8")), {}, 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            printed, value = executed(source(cell), names)
            cell["execution_count"], cell["outputs"] = count, []
            if printed:
                text = printed.splitlines(keepends=True)
                cell["outputs"].append({"name": "stdout", "output_type": "stream", "text": text})
            if value:
                data = {"text/plain": value.splitlines(keepends=True)}
                about = {"execution_count": count, "metadata": {}, "output_type": "execute_result"}
                cell["outputs"].append({"data": data, **about})
    file.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    for name in sys.argv[1:]:
        write_outputs(Path(name))
