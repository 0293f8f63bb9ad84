"""Fixtures that several test files share: a tiny model with random weights, and ways to run `janus`."""

import importlib
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from helpers.models import build_tiny_model
from helpers.runs import ROOT, TIMEOUT, Done
from helpers.warm import WarmShell, serve

_own_metadata = tempfile.TemporaryDirectory(prefix="janus-metadata-")


def pytest_configure() -> None:
    """Let this tree and its entry points be found, whatever tree the environment was installed from.

    Before the tests are collected: records of our own plugin are among their parameters. Processes that
    tests start inherit it. And one thread a process: tests run side by side, and threads that wait for
    a processor spin.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    write_metadata(Path(_own_metadata.name), project["name"], project["entry-points"])
    sys.path.insert(0, _own_metadata.name)
    path = [_own_metadata.name, str(ROOT), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path).rstrip(os.pathsep)


def pytest_unconfigure() -> None:
    """Remove what `pytest_configure` made."""
    _own_metadata.cleanup()


def write_metadata(site: Path, package: str, entry_points: dict[str, dict[str, str]]) -> None:
    """What an installer leaves in `site` of a package with these entry points, by group."""
    folder = site / f"{package.replace('-', '_')}-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [
        line
        for group, points in entry_points.items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in points.items()))
    ]
    (folder / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def plug(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Install a package with plugins, for this test: its name, its module's text, {modality: attribute}."""
    from janus_cli import plugins

    site = tmp_path_factory.mktemp("site")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", f"{site}{os.pathsep}{os.environ['PYTHONPATH']}")

    modules: list[str] = []

    def install(package: str, code: str, points: dict[str, str]) -> None:
        module = package.replace("-", "_")
        (site / f"{module}.py").write_text(code)
        values = {name: f"{module}:{attribute}" for name, attribute in points.items()}
        write_metadata(site, package, {plugins.GROUP: values})
        forget()
        modules.append(module)

    def forget() -> None:
        importlib.invalidate_caches()
        plugins.find_all.cache_clear()
        plugins.registry._load.cache_clear()
        for module in modules:
            sys.modules.pop(module, None)

    yield install  # type: ignore[misc]
    monkeypatch.undo()
    forget()


@pytest.fixture(scope="session")
def zoo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of tiny models, for JANUS_MODELS: `pocket`, and `pocket-any`, which sees, hears and speaks."""
    folder = tmp_path_factory.mktemp("zoo")
    build_tiny_model(folder / "pocket")
    build_tiny_model(folder / "pocket-any", senses=True)
    return folder


@pytest.fixture(scope="session")
def tiny_model(zoo_folder: Path) -> Path:
    """The tiny model's folder."""
    return zoo_folder / "pocket"


@pytest.fixture
def environment(zoo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with the tiny model as `pocket`; the folder."""
    monkeypatch.setenv("JANUS_MODELS", str(zoo_folder))
    monkeypatch.delenv("JANUS_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def tiny_any(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model that also sees, hears and speaks; `pocket-any` lies beside it."""
    folder = build_tiny_model(tmp_path_factory.mktemp("any") / "pocket", senses=True)
    (folder.parent / "pocket-any").symlink_to("pocket")
    return folder


@pytest.fixture
def senses(environment: Path, tiny_any: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As `environment`, with that model as `pocket` and as `pocket-any`."""
    monkeypatch.setenv("JANUS_MODELS", str(tiny_any.parent))
    return environment


@pytest.fixture
def janus(
    environment: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Done]:
    """Run `janus ARGS` in this process, as fast as a function call; `stdin` is what is piped in."""
    from janus_cli.app import main

    def run(*args: str, stdin: bytes = b"") -> Done:
        with _as_stdin(environment, stdin) as file:
            monkeypatch.setattr(sys, "stdin", file)
            capfdbinary.readouterr()
            code = main(list(args))
            out, err = capfdbinary.readouterr()
        return Done(code, out, err.decode("utf-8"))

    return run


def _as_stdin(folder: Path, data: bytes):  # type: ignore[no-untyped-def]
    file = folder.parent / f"{folder.name}.stdin"
    file.write_bytes(data)
    return file.open("r", encoding="utf-8")


@pytest.fixture
def shell(environment: Path) -> Callable[..., Done]:
    """Run a bash line in which `janus` is this program in a process of its own; `pipefail` is on."""
    wrapper = f'janus() {{ "{sys.executable}" -m janus_cli "$@"; }}; set -o pipefail; '

    def run(line: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> Done:
        done = subprocess.run(
            ["bash", "-c", wrapper + line],
            input=stdin,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
            env={**os.environ, **(env or {})},
        )
        return Done(done.returncode, done.stdout, done.stderr.decode("utf-8"))

    return run


@pytest.fixture(scope="session")
def warm_shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmShell]:
    """As `shell`, in any folder, and nothing is imported again by each process: for many of them."""
    with serve(tmp_path_factory.mktemp("programs")) as started:
        yield started


@pytest.fixture(scope="module")
def transformers():  # type: ignore[no-untyped-def]
    """The library, also beside a torchaudio that cannot be loaded."""
    from bench.peers import stand_in

    with pytest.MonkeyPatch.context() as patch:
        for name, module in stand_in().items():
            patch.setitem(sys.modules, name, module)
        yield pytest.importorskip("transformers")
