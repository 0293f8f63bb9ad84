"""Files whole or not at all: free names, links, FIFOs, devices, full disks, writers at the same time."""

import errno
import io
import os
import resource
import shutil
import threading
from pathlib import Path

import pytest

from janus_cli.errors import MediaError
from janus_cli.media import files
from janus_cli.media.files import KeptErrors, NewFile, atomic_write, free_path, read_bytes


def test_inputs_are_capped(monkeypatch):
    monkeypatch.setattr(files, "MAX_BYTES", 100)
    assert len(read_bytes(io.BytesIO(bytes(100)), "x")) == 100
    with pytest.raises(MediaError, match="longer than 100"):
        read_bytes(io.BytesIO(bytes(101)), "x")


def test_free_path(tmp_path):
    path = tmp_path / "apple.png"
    assert free_path(path) == path
    path.touch()
    (tmp_path / "apple-1.png").symlink_to("nowhere")
    assert free_path(path) == tmp_path / "apple-2.png"
    assert free_path(Path("/dev/null")) == Path("/dev/null")
    assert free_path(Path("/dev/stdout")) == Path("/dev/stdout")


@pytest.mark.parametrize("links", [True, False])
def test_a_promised_name_that_somebody_took_meanwhile_is_refused(tmp_path, monkeypatch, links):
    """Also where they took it between the last look and the move."""
    path, link = tmp_path / "a", os.link

    def come_first(source, place):
        path.write_bytes(b"theirs")
        if not links:
            raise OSError(errno.EPERM, "no hard links here")
        link(source, place)

    monkeypatch.setattr(os, "link", come_first)
    with pytest.raises(MediaError, match="exists since a moment ago"), NewFile(path, False, False) as new:
        new.file.write(b"ours")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a": b"theirs"}


def test_atomic_write_never_overwrites_unless_told(tmp_path):
    path = tmp_path / "a.png"
    assert atomic_write(path, b"1") == path
    assert atomic_write(path, b"2") == tmp_path / "a-1.png"
    assert atomic_write(path, b"3", force=True) == path
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a.png": b"3", "a-1.png": b"2"}


def test_modes_and_links_are_kept(tmp_path):
    path, link = tmp_path / "a", tmp_path / "link"
    umask = os.umask(0o027)
    try:
        atomic_write(path, b"1")
    finally:
        os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o640
    path.chmod(0o600)
    link.symlink_to(path)
    atomic_write(link, b"2", force=True)
    assert link.is_symlink() and path.read_bytes() == b"2" and path.stat().st_mode & 0o777 == 0o600


def test_writers_at_the_same_time_lose_nothing(tmp_path):
    path = tmp_path / "a"
    threads = [threading.Thread(target=atomic_write, args=(path, str(i).encode())) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(p.read_bytes()) for p in tmp_path.iterdir()) == list(range(16))


def test_without_hard_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    atomic_write(tmp_path / "a", b"1")
    atomic_write(tmp_path / "a", b"2")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a": b"1", "a-1": b"2"}


def test_fifos_and_devices_are_written_straight(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    found = []
    thread = threading.Thread(target=lambda: found.append(fifo.read_bytes()))
    thread.start()
    assert atomic_write(fifo, b"x" * 100_000) == fifo
    thread.join()
    assert found == [b"x" * 100_000] and fifo.is_fifo()
    atomic_write(Path("/dev/null"), b"x")
    with pytest.raises(MediaError, match="/dev/full: cannot be written: No space left on device"):
        atomic_write(Path("/dev/full"), b"x")


def test_a_file_that_does_not_fit_leaves_nothing(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        for force in (True, False):
            with pytest.raises(MediaError, match="a: cannot be written: File too large"):
                atomic_write(path, bytes(2000), force)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.name for p in tmp_path.iterdir()] == ["a"] and path.read_bytes() == b"old"


def test_places_that_cannot_be_written(tmp_path, monkeypatch):
    with pytest.raises(MediaError, match=r"none/a\.png: there is no folder .*none: make it first"):
        atomic_write(tmp_path / "none" / "a.png", b"1")
    with pytest.raises(MediaError, match=r"cannot be written: .*directory"):
        atomic_write(tmp_path, b"1", force=True)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(MediaError, match="a: cannot be written: Permission denied"):
        atomic_write(tmp_path / "a", b"1")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_goes_while_a_file_is_written(tmp_path):
    place = tmp_path / "folder"
    for force in (True, False):
        place.mkdir()
        with (
            pytest.raises(MediaError, match=r"a\.png: cannot be written: No such file or directory"),
            files.NewFile(place / "a.png", force) as new,
        ):
            new.file.write(b"x")
            shutil.rmtree(place)
        assert not list(tmp_path.iterdir())


def test_a_file_that_a_library_writes_by_its_name(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o640)
    with pytest.raises(MediaError, match="a: cannot be written"), files.fill_path(path) as temporary:
        temporary.write_bytes(b"half")
        raise OSError(28, "No space left on device")
    assert [p.name for p in tmp_path.iterdir()] == ["a"] and path.read_bytes() == b"old"
    with files.fill_path(path) as temporary:
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"new" and path.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_what_a_library_cannot_pass_on_is_raised(tmp_path):
    with Path("/dev/full").open("wb", buffering=0) as file:
        kept = KeptErrors(file)
        with pytest.raises(OSError, match="No space left"), kept.calls():
            assert kept.write(b"x") == 0 == kept.write(b"y")
            raise RuntimeError("the library's own, which says less")
