"""The rooms of the package, and which way imports run."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from headway import tasks
from headway.columns import column_types
from headway.models import model_configs

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "headway"

FLOORS = (
    {"", "errors"},
    {"config"},
    {"columns", "files"},
    {"machine"},
    {"run"},
    {"tasks"},
    {"data"},
    {"models"},
    {"train"},
    {"evaluate"},
    {"tracking", "quality"},
    {"server"},
    {"serve"},
    {"effect", "watch"},
    {"project"},
    {"draft"},
    {"pipeline"},
    {"doctor"},
    {"cli"},
)
"""From the ground up: a room imports from floors below its own, and from itself."""

LOOSE = {"__init__.py", "config.py", "errors.py", "project.py"}

NAMES = {"headway.drift", "headway.key", "headway.folder", "headway.number", "headway.variant", "headway.pid"}
"""Events and tags, which are spelt like modules and are none."""


@cache
def modules() -> dict[str, Path]:
    """Every module of the package, by its name below it; the package itself has none."""
    named = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


def room(name: str) -> str:
    return name.split(".")[0]


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """What is imported of the package, also within functions and for types alone, by name or by a string; the lines."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their module whole: no dots before it"
            whole = [f"{node.module}.{one.name}" for one in node.names]
            names = [name if name.removeprefix("headway.") in modules() else str(node.module) for name in whole]
        elif isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("import_module", "importlib.import_module"):
            names = [str(one.value) for one in node.args[:1] if isinstance(one, ast.Constant)]
        for name in names:
            if name.startswith("headway."):
                yield name.removeprefix("headway."), getattr(node, "lineno", 0)


@cache
def graph() -> dict[str, dict[str, int]]:
    """The modules that each module imports, with a line of each. Whoever imports from another room runs that room's first module."""
    edges: dict[str, dict[str, int]] = {}
    for name, path in modules().items():
        edges[name] = {}
        for target, line in imports(ast.parse(path.read_text())):
            edges[name] |= {target: line}
            if room(target) != room(name):
                edges[name].setdefault(room(target), line)
        edges[name].pop(name, None)
    return edges


def test_every_room_has_its_floor_and_nothing_new_lies_loose_at_the_top() -> None:
    assert {room(name) for name in modules()} == {name for rooms in FLOORS for name in rooms}
    assert {path.name for path in PACKAGE.glob("*.py")} == LOOSE


def test_no_import_runs_upward() -> None:
    floor = {name: number for number, rooms in enumerate(FLOORS) for name in rooms}
    upward = [
        f"{modules()[name].relative_to(PACKAGE)}:{line} imports {target}"
        for name, targets in graph().items()
        for target, line in targets.items()
        if room(name) != room(target) and floor[room(target)] >= floor[room(name)]
    ]
    assert upward == []


def test_flows_stand_below_the_commands_and_above_all_else() -> None:
    """flows/ import no command; of the package, only the commands import flows/, and `headway up` starts them by their name."""
    for path in (ROOT / "flows").glob("*.py"):
        assert not [target for target, _ in imports(ast.parse(path.read_text())) if room(target) == "cli"], path.name
    importers = {room(name) for name, path in modules().items() if "from flows" in path.read_text()}
    assert importers == {"cli"}


def test_no_modules_import_each_other() -> None:
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def test_modules_that_are_named_in_strings_exist() -> None:
    """Processes are started by such names, and tests look for them."""
    wrong = []
    for path in [path for folder in ("src", "flows", "tests", "bench") for path in (ROOT / folder).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                wrong += [f"{path.relative_to(ROOT)}:{node.lineno}: {name}" for name in missing(node.value)]
    assert wrong == []


def test_files_are_locked_in_one_place() -> None:
    """There a look refuses nobody, and a lock that cannot be had is one line. The scoring server asks fcntl for a socket's queue."""
    users = {str(path.relative_to(PACKAGE)) for path in modules().values() if "import fcntl" in path.read_text()}
    assert users == {"files/locks.py", "serve/app.py"}


def missing(text: str) -> Iterator[str]:
    """The modules that a text names or a program in it imports, and that are none."""
    for name in re.findall(r"\bheadway(?!\.example\.|\.__)(?:\.[a-z_]+)+(?![\w.]*\()", text):
        parts = name.split(".")[1:]
        if name not in NAMES and ".".join(parts) not in modules() and ".".join(parts[:-1] or ["?"]) not in modules():
            yield name
    for names in re.findall(r"\bfrom headway import ([\w, ]+)", text):
        for name in names.split(","):
            if name.split()[0] not in {*modules(), "__version__"}:
                yield f"headway.{name.split()[0]}"


def test_no_code_outside_columns_asks_for_a_kind_of_column_by_its_name() -> None:
    """Whoever asks so has to be changed for a new type of column."""
    named, questions = set(column_types()), []
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text())) if room(name) != "columns" else ():
            if not isinstance(node, ast.Compare):
                continue
            sides = [node.left, *node.comparators]
            words = {one.value for side in sides for one in ast.walk(side) if isinstance(one, ast.Constant)}
            if words & named and any(ast.unparse(side).split(".")[-1] == "kind" for side in sides):
                questions.append(f"{path.relative_to(PACKAGE)}:{node.lineno}: {ast.unparse(node)}")
    assert questions == []


def test_no_line_outside_tasks_names_a_task() -> None:
    """What is peculiar to a task is asked of its object, so that a new one is a new file."""
    rooms = {"columns", "tasks", "models"}
    counts: dict[str, Counter[str]] = {name: Counter() for name in tasks.names()}
    paths = [path for name, path in modules().items() if room(name) not in rooms]
    for path in [*paths, *(ROOT / "flows").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and node.value in counts:
                counts[node.value][f"{path.relative_to(ROOT)}"] += 1
    assert {name: dict(lines) for name, lines in counts.items() if lines} == {}


CHOOSERS = {"draft.model", "evaluate.baselines", "train.estimators"}
"""Modules that take a model by its class: what `init` proposes, the linear baseline, and the training of models with a fit of their own."""


def test_no_line_outside_models_names_a_model() -> None:
    """What is peculiar to a model is declared by its class, so that a new one is a new file."""
    configs = model_configs()
    baselines = {name for task in tasks.names() for name in tasks.task_of(task).baselines}
    packages = {package for config in configs.values() for package in config.packages}
    sole = {*configs} - baselines - packages  # the others are names of something else, too
    lines, choosers = [], set()
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text())) if room(name) not in {"columns", "tasks", "models"} else ():
            if isinstance(node, ast.Constant) and node.value in sole:
                lines.append(f"{path.relative_to(PACKAGE)}:{node.lineno}: {node.value}")
            if isinstance(node, ast.Compare) and _is_of_a_model(node, {*configs}):
                lines.append(f"{path.relative_to(PACKAGE)}:{node.lineno}: {ast.unparse(node)}")
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("headway.models."):
                classes = {config.__name__ for config in configs.values()}
                choosers |= {name} if classes & {one.name for one in node.names} else set()
    assert lines == []
    assert choosers <= CHOOSERS


def _is_of_a_model(node: ast.Compare, names: set[str]) -> bool:
    """Whether a comparison holds a model's name against one of these."""
    sides = [node.left, *node.comparators]
    words = {one.value for side in sides for one in ast.walk(side) if isinstance(one, ast.Constant)}
    return bool(words & names) and any(re.search(r"(^|\.|_)model(\.name)?$", ast.unparse(side)) for side in sides)


UNTYPED = 21
"""Lines that pass a `dict[str, Any]`. They only become fewer: what crosses a module is a value with fields (`files.records`)."""


def test_lines_that_pass_untyped_dicts_only_become_fewer() -> None:
    lines = [line for path in modules().values() for line in path.read_text().splitlines()]
    assert sum("dict[str, Any]" in line for line in lines) <= UNTYPED, "give the value a type with fields"


PARTICIPLES = {"asked", "begun", "called", "caught", "chosen", "done", "ended", "expected", "found", "given", "got"}
PARTICIPLES |= {"heard", "held", "kept", "known", "made", "missed", "said", "seen", "shown", "taken", "told", "wanted"}
"""Say what was done with a value, not what it is. Fields of classes may be such words: `series.known`."""


def test_variables_and_functions_are_not_named_by_bare_participles() -> None:
    names = []
    for path in [path for folder in ("src", "flows", "tests", "bench") for path in (ROOT / folder).rglob("*.py")]:
        tree = ast.parse(path.read_text())
        fields = {id(part) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for part in node.body}
        fields |= {id(node.target) for node in ast.walk(tree) if isinstance(node, ast.AnnAssign) and id(node) in fields}
        for node in ast.walk(tree):
            name = None if id(node) in fields else _name_that_it_binds(node)
            if name in PARTICIPLES:
                names.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}: {name}")
    assert names == []


def _name_that_it_binds(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return node.id
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ExceptHandler):
        return node.name
    return node.arg if isinstance(node, ast.arg) else None
