"""Disks that are full, read-only, over quota or broken: one line, nothing half-written, nothing lost."""

import errno
import os
from pathlib import Path

import pytest
from helpers.disks import fill
from helpers.runs import no_traceback

NAMES = ["a.png", "a.jpg", "a.webp", "a.wav", "a.flac", "a.ogg", "a.txt"]
NAMES += ["a.safetensors", "a.tar", "a-%d.tar"]
KINDS = {".wav": "sound", ".flac": "sound", ".ogg": "sound", ".txt": "text"}  # the others are pictures
FAULTS = [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EROFS]


@pytest.fixture
def tokens(janus, senses) -> dict[str, bytes]:  # type: ignore[no-untyped-def]
    """Records of a picture, a sound and a text."""
    text = janus("tokenize", "text", "a red apple").out
    return {
        "picture": janus("generate", stdin=text).out,
        "sound": janus("generate", "--to", "audio", "--seconds", "0.2", stdin=text).out,
        "text": text,
    }


def write(janus, tokens: dict[str, bytes], name: str, *flags: str):  # type: ignore[no-untyped-def]
    """Write the file `name` with the command that makes its kind."""
    if name.endswith((".safetensors", ".tar")):
        return janus("tokenize", "text", "a red apple", "-o", name, *flags)
    return janus("decode", "-q", "-o", name, *flags, stdin=tokens[KINDS.get(Path(name).suffix, "picture")])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_disk_that_takes_no_more_loses_nothing(janus, tokens, monkeypatch, name):
    place = name.replace("%d", "0")
    for room in (0, 10):
        for number in FAULTS:
            Path(place).write_bytes(b"old")
            with monkeypatch.context() as patch:
                fill(patch, room, number)
                done = write(janus, tokens, name, "--force")
            assert done.code == 1 and no_traceback(done), (number, done)
            assert os.strerror(number) in done.err and place in done.err and done.err.count("\n") == 1
            assert [p.name for p in Path().iterdir()] == [place] and Path(place).read_bytes() == b"old"
    Path(place).unlink()
    with monkeypatch.context() as patch:
        fill(patch, 10, errno.ENOSPC)
        assert write(janus, tokens, name).code == 1 and not list(Path().iterdir())
    assert write(janus, tokens, name).code == 0 and Path(place).stat().st_size > 10


@pytest.mark.parametrize("call", ["fsync", "link", "replace"])
def test_the_last_step_fails(janus, tokens, monkeypatch, call):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    before = {} if call == "link" else {"a.png": b"old"}
    for name, data in before.items():
        Path(name).write_bytes(data)
    for name in ("link", "rename") if call == "link" else (call,):  # without links it is renamed
        monkeypatch.setattr(os, name, refuse)
    done = write(janus, tokens, "a.png", *(["--force"] if call != "link" else []))
    assert done.code == 1 and "a.png: cannot be written: Disk quota exceeded" in done.err
    assert {p.name: p.read_bytes() for p in Path().iterdir()} == before


def test_what_is_seen_beside_the_picture_fails_alone(janus, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("janus_cli.shell.watch.watcher.atomic_write", _full)
        done = janus("draw", "a", "-o", "a.png", "--frames", "frames", "-q")
    assert done.code == 3 and no_traceback(done) and "disk" in done.err
    assert Path("a.png").is_file() and not list(Path("frames").iterdir())


def _full(path: Path, *_: object) -> None:
    from janus_cli.errors import MediaError

    raise MediaError(f"{path}: the disk is full")
