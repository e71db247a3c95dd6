"""Runs the statements of a checkout's `main` that change the config after setup_cfg has made it.

These statements, and those that they depend on, are run if they call only methods of plain values. Other statements
that set a config key are reported.
"""

from __future__ import annotations

import ast
from argparse import Namespace

from yacs.config import CfgNode

from .train_py import TrainPy, attribute_root

# Methods that may be called: those of plain values, and those of a config.
HARMLESS = {
    "get", "lower", "upper", "startswith", "endswith", "split", "strip", "replace", "format", "join", "items", "keys",
    "values", "defrost", "freeze", "merge_from_list", "clone",
}  # fmt: skip
PLAIN = {"int", "float", "str", "bool", "len", "min", "max", "abs", "round", "list", "tuple", "dict", "set", "range",
         "getattr", "hasattr", "isinstance", "sorted"}  # fmt: skip


def run(script: TrainPy, cfg: CfgNode, args: Namespace) -> tuple[CfgNode, list[str]]:
    """The config after the statements of `main` that can be run, and sentences about those that cannot."""
    main = _function(script, "main")
    if main is None or not (name := _config_of(main)):
        return cfg, assignments(script, ("main", ""))
    parameters = [arg.arg for arg in main.args.args]
    taken, left = [], []
    for statement in main.body:
        if "build_trainer" in ast.dump(statement):
            break
        if _sets(statement, name) and not _calls_only_harmless(statement):
            left.append(statement)
        elif _sets(statement, name) or _is_plain_assignment(statement, name):
            taken.append(statement)
    if not any(_sets(statement, name) for statement in taken):
        return cfg, _sentences(left) + assignments(script, ("",))
    given = ast.arguments(
        [], [ast.arg(name), *(ast.arg(p) for p in parameters[:1] if p != name)], None, [], [], None, []
    )
    body = [*taken, ast.Return(ast.Name(name, ast.Load()))]
    function = ast.FunctionDef("main_slice", given, body, [], None, None)
    made = cfg.clone()
    made.defrost()
    try:
        for used in {node.id for each in taken for node in ast.walk(each) if isinstance(node, ast.Name)}:
            script.provide(used)
        names = dict(script.names)
        tree = ast.fix_missing_locations(ast.Module([function], []))
        exec(compile(tree, str(script.path), "exec"), names)
        made = names["main_slice"](*(made, args)[: len(given.args)])
    except Exception as error:  # the statements need something that is elsewhere in main
        return cfg, [*_sentences(left + [s for s in taken if _sets(s, name)]), f"({type(error).__name__}: {error})"]
    return made, _sentences(left) + assignments(script, ("",))


def assignments(script: TrainPy, where: tuple[str, ...] = ("setup_cfg", "reset_cfg", "main", "")) -> list[str]:
    """Sentences about every statement of these functions ("": of `if __name__ == ...`) that sets a config key."""
    found: list[ast.stmt] = []
    for name in where:
        body = _function(script, name).body if name and _function(script, name) else []
        if not name:
            body = [s for s in script.tree.body if isinstance(s, ast.If) and "__name__" in ast.dump(s.test)]
        found += [s for each in body for s in ast.walk(each) if isinstance(s, ast.stmt) and _sets_directly(s, "cfg")]
    return _sentences(found)


def _sentences(statements: list[ast.stmt]) -> list[str]:
    return [f"line {s.lineno} is not taken over: {' '.join(ast.unparse(s).split())[:160]}" for s in statements]


def _function(script: TrainPy, name: str) -> ast.FunctionDef | None:
    found = (s for s in script.tree.body if isinstance(s, ast.FunctionDef) and s.name == name)
    return next(found, None)


def _config_of(main: ast.FunctionDef) -> str:
    """The name of the variable in `... = setup_cfg(...)`; "" if there is none."""
    for statement in main.body:
        value = statement.value if isinstance(statement, ast.Assign) else None
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "setup_cfg":
            (target, *_) = statement.targets
            return target.id if isinstance(target, ast.Name) else ""
    return ""


def _sets(statement: ast.stmt, name: str) -> bool:
    return any(_sets_directly(each, name) for each in ast.walk(statement) if isinstance(each, ast.stmt))


def _sets_directly(statement: ast.stmt, name: str) -> bool:
    """Whether the statement is like `cfg.A.B = ...`, `cfg.A.B += ...` or `cfg.merge_from_list(...)`."""
    if isinstance(statement, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return any(attribute_root(target) == name for target in targets)
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return False
    return attribute_root(call.func) == name and call.func.attr.startswith("merge_from")


def _is_plain_assignment(statement: ast.stmt, name: str) -> bool:
    """Whether the statement sets a local variable that later ones may use, or is like `cfg.defrost()`."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        return attribute_root(statement.value.func) == name and _calls_only_harmless(statement)
    plain = isinstance(statement, ast.Assign) and all(isinstance(target, ast.Name) for target in statement.targets)
    return plain and statement.targets[0].id != name and _calls_only_harmless(statement)


def _calls_only_harmless(statement: ast.stmt) -> bool:
    for node in ast.walk(statement):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called not in (HARMLESS if isinstance(node.func, ast.Attribute) else PLAIN):
                return False
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.Return, ast.Raise, ast.With, ast.Global)):
            return False
    return True
