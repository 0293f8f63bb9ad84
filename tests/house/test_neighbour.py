"""A good neighbour: threads sleep while they wait, and there are no more than the process may use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from janus_cli import neighbour
from janus_cli.neighbour import read_quota, share_processors

GROUP = "a/b"


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which nobody has said anything; what a test sets goes with it."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    for name in (*neighbour._WAITING, "OMP_NUM_THREADS", "OPENBLAS_THREAD_TIMEOUT"):
        os.environ.pop(name, None)
    monkeypatch.setattr(neighbour, "read_quota", lambda: None)
    return monkeypatch


def test_waiting_is_passive_unless_the_user_says_otherwise(clean: pytest.MonkeyPatch) -> None:
    share_processors()
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["KMP_BLOCKTIME"]) == ("PASSIVE", "0")
    assert "OMP_NUM_THREADS" not in os.environ, "OpenMP counts the processors itself"
    for name in neighbour._WAITING:
        for other in neighbour._WAITING:
            os.environ.pop(other, None)
        os.environ[name] = "1"
        share_processors()
        assert [n for n in neighbour._WAITING if n in os.environ] == [name] and os.environ[name] == "1"


@pytest.mark.parametrize(
    ("quota", "bound", "threads"),
    [(0.3, 4, "1"), (1.5, 4, "2"), (4.0, 4, None), (9.0, 4, None), (None, 4, None), (2.0, 1, None)],
)
def test_threads_follow_the_quota(
    clean: pytest.MonkeyPatch, quota: float | None, bound: int, threads: str | None
) -> None:
    clean.setattr(neighbour, "read_quota", lambda: quota)
    clean.setattr(neighbour, "_count_bound", lambda: bound)
    share_processors()
    assert os.environ.get("OMP_NUM_THREADS") == threads
    os.environ["OMP_NUM_THREADS"] = "7"
    share_processors()
    assert os.environ["OMP_NUM_THREADS"] == "7", "the user's"


@pytest.mark.parametrize(
    ("membership", "files", "quota"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "150000 100000", "a/cpu.max": "max 100000"}, 1.5),
        (
            "0::/a/b\n",
            {"a/b/cpu.max": "400000 100000", "a/cpu.max": "50000 100000"},
            0.5,
        ),  # the one around it
        ("0::/a/b\n", {"cpu.max": "200000 100000"}, 2.0),  # a container: the path is the host's
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000"}, None),
        ("0::/a/b\n", {}, None),
        ("4:cpu,cpuacct:/a\n0::/\n", {"cpu,cpuacct/a": ("300000", "100000")}, 3.0),
        ("4:cpuacct,cpu:/a\n", {"cpu/a": ("300000", "100000")}, 3.0),
        ("4:cpu:/a\n", {"cpu/a": ("-1", "100000")}, None),
        ("4:cpu:/a:b\n", {"cpu/a:b": ("100000", "50000")}, 2.0),
        ("4:memory:/a\n", {"cpu/a": ("100000", "50000")}, None),
        ("0::/\n", {"unified/cpu.max": "100000 50000"}, 2.0),
        ("0::/\n", {"cpu.max": "much 100000"}, None),
        ("0::/\n", {"cpu.max": "100000 0"}, None),
        ("0::/\n", {"cpu.max": ""}, None),
        ("nonsense\n", {"cpu.max": "100000 50000"}, None),
        (None, {"cpu.max": "100000 50000"}, None),
    ],
)
def test_quotas_of_both_versions(tmp_path: Path, membership, files, quota) -> None:  # type: ignore[no-untyped-def]
    root, table = tmp_path / "cgroup", tmp_path / "membership"
    for name, value in files.items():
        if isinstance(value, str):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(value + "\n")
            continue
        (root / name).mkdir(parents=True)
        for word, number in zip(("quota", "period"), value, strict=True):
            (root / name / f"cpu.cfs_{word}_us").write_text(number + "\n")
    if membership is not None:
        table.write_text(membership)
    assert read_quota(table, root) == quota


def test_a_library_changes_no_environment() -> None:
    code = (
        "import os; before = dict(os.environ)\n"
        "import janus_cli, janus_cli.app, janus_cli.__main__, janus_cli.neighbour, janus_cli.records\n"
        "from janus_cli.app import main; assert main(['--version']) == 0; assert dict(os.environ) == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.slow
def test_openmp_of_this_torch_has_heard_it(environment: Path) -> None:
    """What its OpenMP says of itself when `janus` loads it; without a word of ours it says otherwise."""
    env = {**os.environ, "OMP_DISPLAY_ENV": "verbose"}
    command = [sys.executable, "-m", "janus_cli", "draw", "a", "-o", "-"]
    done = subprocess.run(command, env=env, capture_output=True, check=True, timeout=600)
    assert b"OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr
    assert b"GOMP_SPINCOUNT = '0'" in done.stderr or b"KMP_BLOCKTIME" in done.stderr
