"""What libraries in other languages say on stderr is kept: by C's variable, or by the descriptor."""

import ctypes
import io
import os
import platform
import sys
import threading

import numpy as np
import pytest
from helpers.sounds import file_bytes, tone
from PIL import Image

from janus_cli.errors import MediaError
from janus_cli.media import c_messages, pictures
from janus_cli.media.c_messages import keep_messages
from janus_cli.media.sounds import open_sound


@pytest.fixture(params=["glibc", "another"])
def library(request, monkeypatch):
    """The C library, as it is, and as one whose stderr cannot be set."""
    if request.param == "glibc" and platform.libc_ver()[0] != "glibc":
        pytest.skip("only glibc's stderr can be set")
    if request.param == "another":
        monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    c_messages._open_for_c.cache_clear()
    yield request.param
    c_messages._open_for_c.cache_clear()


def say(text: bytes) -> None:
    """Write to C's stderr."""
    libc = ctypes.CDLL(None)
    libc.perror(text)


def test_messages_of_c_code_are_kept(library, capfd):
    for _ in range(2):
        with keep_messages() as lines:
            say(b"one")
            say(b"two")
        assert [line.partition(":")[0] for line in lines] == ["one", "two"]
    with keep_messages() as lines:
        pass
    assert lines == [] and capfd.readouterr() == ("", "")
    say(b"three")
    assert capfd.readouterr().err.startswith("three:")


def test_messages_of_threads_are_not(library, capfd):
    if library != "glibc":
        pytest.skip("the descriptor is everybody's")
    with keep_messages() as lines:
        thread = threading.Thread(target=lambda: print("from a thread", file=sys.stderr))
        thread.start()
        thread.join()
    assert lines == [] and capfd.readouterr().err == "from a thread\n"


def test_what_passes_by_the_c_library_is_kept_when_asked(library, capfd):
    with pytest.raises(ValueError), keep_messages(descriptor=True) as lines:
        os.write(2, b"panicked\n" * 20_000)
        raise ValueError
    with keep_messages(descriptor=True) as others:
        os.write(2, b"again")
    assert set(lines[:-1]) == {"panicked"} and others == ["again"] and capfd.readouterr() == ("", "")


def test_a_closed_descriptor_is_none_to_turn(library):
    kept = os.dup(2)
    try:
        os.close(2)
        with keep_messages(descriptor=True) as lines:
            pass
        with keep_messages() as others, pytest.raises(OSError):
            os.fstat(2)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    assert lines == others == []


def test_damaged_files_make_no_noise_and_are_refused(library, capfd):
    """An MP3 whose damage libmpg123 alone sees, and a TIFF of which libtiff complains."""
    file = io.BytesIO()
    Image.fromarray(np.arange(3000, dtype=np.uint8).reshape(20, 50, 3)).save(
        file, "TIFF", compression="tiff_lzw"
    )
    data = bytearray(file.getvalue())
    data[8:300] = b"\xff" * 292
    with pytest.raises(MediaError, match="damaged"):
        pictures.read_image(io.BytesIO(bytes(data)), "x")
    data = bytearray(file_bytes(0.4 * tone(1, 16000), 16000, "MP3"))
    data[404:434] = bytes(30)
    with (
        pytest.raises(MediaError, match=r"x: damaged near sample 0 \(dequantization failed\)"),
        open_sound(io.BytesIO(bytes(data)), "x") as sound,
    ):
        sound.whole()
    assert capfd.readouterr() == ("", "")
