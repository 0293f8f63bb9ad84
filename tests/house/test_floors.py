"""The house stands: imports go down and never round, functions stay short, nothing slow is imported early."""

import ast
import dataclasses
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest
from helpers.runs import ROOT

MAX_LINES, MOST_LINES = 60, 30  # of a function; MOST: nine in ten are no longer


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_imports_only_go_down():
    code = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stdout + done.stderr


def test_imports_go_round_no_circle():
    """Of modules: neither inside functions nor only for type checkers."""
    graph = grimp.build_graph("janus_cli", exclude_type_checking_imports=False, cache_dir=None)
    arrows = {module: graph.find_modules_directly_imported_by(module) for module in sorted(graph.modules)}
    assert arrows["janus_cli.app"], "no imports found"
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        pytest.fail("a circle of imports: " + " imported by ".join(error.args[1]))


def test_no_slow_import_at_module_level():
    done = run(sys.executable, "-m", "ruff", "check", "--select", "TID253", "janus_cli")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("folder", ["janus_cli", "tests", "bench"])
def test_functions_are_short(folder):
    lengths = {}
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                place = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
                lengths[place] = node.end_lineno - node.lineno + 1
    assert lengths, "no functions found"
    assert {place: lines for place, lines in lengths.items() if lines > MAX_LINES} == {}
    assert sorted(lengths.values())[len(lengths) * 9 // 10] <= MOST_LINES


@pytest.mark.parametrize(
    "path", sorted((ROOT / "janus_cli").rglob("__init__.py")), ids=lambda path: path.parent.name
)
def test_a_room_says_what_it_is_and_imports(path):
    """And nothing else; what is slow to import may be imported by `__getattr__`."""
    docstring, *rest = ast.parse(path.read_text("utf-8")).body
    assert isinstance(docstring, ast.Expr) and isinstance(docstring.value, ast.Constant)
    for node in rest:
        head = ast.unparse(node).partition(" = ")[0].splitlines()[0]
        named = head in ("__all__", "__version__", "if TYPE_CHECKING:") or head.startswith("def __getattr__(")
        assert named or isinstance(node, ast.Import | ast.ImportFrom), f"line {node.lineno}: {head}"


def test_every_module_says_what_it_is():
    for path in Path(ROOT / "janus_cli").rglob("*.py"):
        text = path.read_text("utf-8")
        assert not text or text.startswith('"""'), path


def test_components_are_the_same_everywhere():
    """The names of a model's nets stand in one table; what is keyed by them knows them all."""
    from janus_cli.commands.train import Component
    from janus_cli.config import COMPONENTS, ModelConfig
    from janus_cli.nets.build import NETS
    from janus_cli.training.jobs import BUILDERS
    from janus_cli.training.recipe import Recipe

    assert tuple(NETS) == tuple(BUILDERS) == tuple(component.value for component in Component) == COMPONENTS
    for kind in (ModelConfig, Recipe):
        assert set(COMPONENTS) <= {field.name for field in dataclasses.fields(kind)}, kind
