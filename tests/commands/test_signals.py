"""Signals: what is half-written goes, the exit code says which it was, and no words are wasted."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.runs import TIMEOUT
from helpers.sounds import file_bytes, tone

from bench.kills import run_kills
from janus_cli.app import Stop
from janus_cli.media import files, interrupts
from janus_cli.media.sound_writer import Writer

JANUS = [sys.executable, "-m", "janus_cli"]
CODES = {signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGINT: 130}


def begin(output: str, *ignored: signal.Signals) -> subprocess.Popen[bytes]:
    """Start a command that has begun to write `output` and waits for more lines."""

    def set_signals() -> None:
        for number in CODES:
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

    process = subprocess.Popen(
        [*JANUS, "tokenize", "text", "--lines", "-o", output],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=set_signals,
    )
    process.stdin.write((b"a" * 99 + b"\n") * 800)  # more than a pipe holds: it is reading when this returns
    process.stdin.flush()
    end = time.monotonic() + TIMEOUT
    while not list(Path().glob(".*.part")):
        assert process.poll() is None and time.monotonic() < end, "it has not begun to write"
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("number", CODES)
def test_a_signal_leaves_nothing(environment, number):
    process = begin("out.tar")
    process.send_signal(number)
    _, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, err) == (CODES[number], b"") and not list(Path().iterdir())


def test_what_nohup_has_ignored_stays_ignored(environment):
    process = begin("out.safetensors", signal.SIGHUP)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0 and [p.name for p in Path().iterdir()] == ["out.safetensors"]


SLOW = """
import sys, time
from pathlib import Path
from janus_cli import app
from janus_cli.media.files import NewFile

def work(*_, **__):
    with NewFile(Path("a"), False):
        try:
            print("begun", flush=True)
            time.sleep(60)
        finally:
            time.sleep(60)

app.app = work
sys.exit(app.main([]))
"""


def test_a_second_signal_does_not_wait_for_the_clean_up(environment):
    with subprocess.Popen([sys.executable, "-c", SLOW], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"begun\n" and list(Path().glob(".*.part"))
        for pause in (0, 0.2, 1.1):  # the second is `timeout`'s, which sends each twice
            time.sleep(pause)
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 143
    assert not list(Path().iterdir())


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in CODES]
    with Stop() as stop:
        assert all(signal.getsignal(number) == stop._handle for number in CODES)
    assert [signal.getsignal(number) for number in CODES] == before


def test_a_signal_waits_for_the_end_of_a_hold():
    reached = []
    with Stop() as stop, pytest.raises(SystemExit) as left, interrupts.hold():
        signal.raise_signal(signal.SIGHUP)
        reached.append("the end")
    assert reached and left.value.code == 129 == 128 + stop.signal
    with Stop(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_another_thread_holds_nothing():
    inside, go = threading.Event(), threading.Event()

    def hold() -> None:
        with interrupts.hold():
            inside.set()
            go.wait(10)

    thread = threading.Thread(target=hold)
    with Stop(), pytest.raises(SystemExit):
        thread.start()
        inside.wait(10)
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            go.set()
            thread.join()


class Signalling(io.BytesIO):
    """A file whose process is told to stop when it is first written to."""

    told = False

    def write(self, data: bytes) -> int:
        if not self.told:
            self.told = True
            signal.raise_signal(signal.SIGTERM)
        return super().write(data)


@pytest.mark.parametrize("format", ["flac", "ogg"])
@pytest.mark.filterwarnings("error")
def test_a_signal_within_a_library_is_not_lost(format):
    file = Signalling()
    with Stop() as stop, pytest.raises(SystemExit):
        writer = Writer(file, format, 24_000, 1)
        writer.write(np.zeros((1, 240_000), np.float32))
        writer.close()
    assert stop.signal == signal.SIGTERM


READING = """
import signal, sys
from janus_cli import app
from janus_cli.media import sounds

def readinto(self, buffer, real=sounds._Window.readinto, calls=[]):
    calls.append(self)
    if len(calls) == int(sys.argv[1]):
        signal.raise_signal(signal.SIGINT)
    return real(self, buffer)

sounds._Window.readinto = readinto
sys.exit(app.main(["info", "a.flac", "b.flac"]))
"""


@pytest.mark.parametrize("call", ["1", "3"])
def test_a_signal_while_a_library_reads_is_not_lost(environment, call):
    for name in ("a.flac", "b.flac"):
        (environment / name).write_bytes(file_bytes(tone(1, 44100), 44100, "FLAC"))
    done = subprocess.run([sys.executable, "-c", READING, call], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_what_is_unfinished_is_swept_up(tmp_path):
    new = files.NewFile(tmp_path / "a", False)  # as if a signal struck before its block began
    with interrupts.unfinished(tmp_path / "folder.part"):
        (tmp_path / "folder.part" / "inner").mkdir(parents=True)
        with Stop():
            pass
        assert not list(tmp_path.iterdir())
    new.file.close()


@pytest.mark.slow
def test_kills_at_random_moments(environment):
    found = run_kills(["shards", "records"], 12, seed=os.getpid())
    faults = [line for left in found.values() for line in (*left.broken, *left.parts)]
    assert not faults and sum(left.kills.total() for left in found.values()) >= 6
