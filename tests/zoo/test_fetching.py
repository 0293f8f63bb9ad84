"""Large files of the hub: gone on with after anything, checked, and never half under their final name."""

import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.hubs import COMMIT, NAME, Hub, serve
from helpers.runs import TIMEOUT, no_traceback
from safetensors.torch import save

from janus_cli.errors import ModelError
from janus_cli.zoo import fetching, hub
from janus_cli.zoo.fetching import LargeFile, fetch

FILE = "model.safetensors"
DATA = save({"c": torch.ones(500_000)})
SUM = hashlib.sha256(DATA).hexdigest()
CONFIG = b'{"model_type": "multi_modality"}'


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one model; nobody waits before another attempt."""
    monkeypatch.setattr(fetching, "_PAUSE", 0)
    for name in ("HTTP_PROXY", "http_proxy", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with serve({"config.json": CONFIG, FILE: DATA}) as found:
        yield found


def pull(server: Hub, blobs: Path, size: int = len(DATA)) -> list[int]:
    """Fetch the model's file as `pull` does; the sizes of what came."""
    came: list[int] = []
    fetch(LargeFile(FILE, f"{server.url}/{NAME}/resolve/{COMMIT}/{FILE}", size, SUM), blobs, {}, came.append)
    assert [p.name for p in blobs.iterdir()] == [SUM] and (blobs / SUM).read_bytes() == DATA
    return came


def test_a_file_goes_on_where_it_was_broken_off(server: Hub, tmp_path: Path) -> None:
    server.moves, server.cut = True, 1_000_000
    assert sum(pull(server, tmp_path)) == len(DATA)
    assert server.asked == [f"{FILE}@0", f"{FILE}@1000000"], "behind a redirect, too"
    assert pull(server, tmp_path) == [] and len(server.asked) == 2, "what is there is not asked for"


def test_what_an_earlier_process_has_left_is_gone_on_with(server: Hub, tmp_path: Path) -> None:
    (tmp_path / f"{SUM}.incomplete").write_bytes(DATA[:1_500_000])
    assert sum(pull(server, tmp_path)) == len(DATA) - 1_500_000 and server.asked == [f"{FILE}@1500000"]


def test_a_server_without_ranges_begins_anew(server: Hub, tmp_path: Path) -> None:
    server.ignores_ranges = True
    (tmp_path / f"{SUM}.incomplete").write_bytes(b"x" * 1_500_000)
    assert sum(pull(server, tmp_path)) == len(DATA)


@pytest.mark.parametrize(
    ("lie", "says"),
    [
        (DATA[:-1] + b"x", "not what the hub lists has come, and is deleted"),
        (DATA + b"more", "not what the hub lists has come, and is deleted"),
        (DATA[:-9], "the hub sends less of it than it lists"),
        (b"", "the hub sends less of it than it lists"),
    ],
)
def test_what_is_not_what_the_hub_lists_is_refused(
    server: Hub, tmp_path: Path, lie: bytes, says: str
) -> None:
    server.lies[FILE] = lie
    with pytest.raises(ModelError, match=f"{FILE}: {says}"):
        pull(server, tmp_path)
    assert not (tmp_path / SUM).exists()
    server.lies.clear()
    pull(server, tmp_path)


def test_what_was_left_wrong_is_deleted(server: Hub, tmp_path: Path) -> None:
    (tmp_path / f"{SUM}.incomplete").write_bytes(b"x" * len(DATA))
    with pytest.raises(ModelError, match="pull it again"):
        pull(server, tmp_path)
    pull(server, tmp_path)


def test_a_disk_with_too_little_room_is_said_before(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1_000_000}))
    with pytest.raises(ModelError, match=r"the disk is full: 2\.0 MB are needed, 1\.0 MB are free"):
        pull(server, tmp_path)
    assert not server.asked


def test_two_processes_do_not_write_one_file(server: Hub, tmp_path: Path) -> None:
    with (
        fetching._open_alone(tmp_path / f"{SUM}.incomplete", FILE),
        pytest.raises(ModelError, match="another process is pulling it"),
    ):
        pull(server, tmp_path)


def test_a_name_that_leads_elsewhere_is_not_fetched() -> None:
    names = ["../x.safetensors", "a/b.safetensors", "/etc/x.safetensors", "..", ".", FILE]
    assert hub._choose_files(names) == [FILE]


# ---- the whole command


@pytest.fixture
def command(environment: Path, server: Hub, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """`models pull` from that hub, through a cache that is a link to another place."""
    (environment / "disk").mkdir()
    (environment / "hub").symlink_to("disk")
    for name, value in {"HF_ENDPOINT": server.url, "HF_HUB_CACHE": str(environment / "hub")}.items():
        monkeypatch.setenv(name, value)
    return [sys.executable, "-m", "janus_cli", "models", "pull", NAME]


def list_blobs() -> dict[str, int]:
    return {p.name: p.stat().st_size for p in Path("disk").glob("models--*/blobs/*")}


def finish(command: list[str]) -> None:
    """Pull to the end: all is there, once, and nothing else."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stderr
    assert (Path(done.stdout.strip()) / FILE).read_bytes() == DATA
    assert not [name for name in list_blobs() if "incomplete" in name]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_pull_goes_on(command: list[str], server: Hub, number: signal.Signals) -> None:
    server.cut = 1_000_000
    server.stall.set()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert server.arrived.wait(TIMEOUT)
        while list_blobs().get(f"{SUM}.incomplete") != 1_000_000:
            time.sleep(0.01)
        process.send_signal(number)
        _, err = process.communicate(timeout=10)  # a stalled transfer keeps nobody waiting
    assert process.returncode == (143 if number == signal.SIGTERM else -9) and err == b""
    server.stall.clear()
    finish(command)
    assert [name for name in server.asked if FILE in name] == [f"{FILE}@0", f"{FILE}@1000000"]


@pytest.mark.slow
def test_a_pull_onto_a_full_disk_goes_on(command: list[str], server: Hub, shell) -> None:  # type: ignore[no-untyped-def]
    done = shell(f"ulimit -f 900; janus models pull {NAME}")
    assert done.code == 1 and no_traceback(done) and done.err.count("\n") == 1
    assert f"{NAME}: not pulled (File too large); run it again to go on" in done.err
    assert list_blobs() == {f"{SUM}.incomplete": 900 * 1024} and not list(Path("disk").rglob(FILE))
    finish(command)
    assert [name for name in server.asked if FILE in name] == [f"{FILE}@0", f"{FILE}@{900 * 1024}"]
    server.lies["config.json"] = CONFIG.replace(b"multi", b"munge")
    for place in Path("disk").rglob("config.json"):
        place.resolve().unlink()
        place.unlink()
    done = shell(f"janus models pull {NAME}")
    assert done.code == 1 and "config.json: not what the hub lists has come" in done.err
    assert not list(Path("disk").rglob("config.json"))
