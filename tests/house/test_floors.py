"""The house stands: imports go down, files stay short, no slow import at module level."""

import subprocess
import sys
from pathlib import Path

from helpers.runs import ROOT

MAX_LINES = 300


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_imports_only_go_down():
    code = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_slow_import_at_module_level():
    done = run(sys.executable, "-m", "ruff", "check", "--select", "TID253", "janus_cli")
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_file_is_long():
    sources = [p for folder in ("janus_cli", "tests", "bench") for p in (ROOT / folder).rglob("*.py")]
    lengths = {p.relative_to(ROOT): len(p.read_text("utf-8").splitlines()) for p in sources}
    assert lengths, "no sources found"
    assert {str(p): n for p, n in lengths.items() if n > MAX_LINES} == {}


def test_package_inits_are_nearly_empty():
    for path in (ROOT / "janus_cli").rglob("__init__.py"):
        assert len(path.read_text("utf-8").splitlines()) <= 5, path


def test_every_module_says_what_it_is():
    for path in Path(ROOT / "janus_cli").rglob("*.py"):
        text = path.read_text("utf-8")
        assert not text or text.startswith('"""'), path
