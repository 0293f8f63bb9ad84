"""A shell whose `janus` and `python` start in a moment: forks of a process that has loaded torch already.

What runs are processes of their own, with the pipes, files, environment and exit codes that the shell gives
them; only the seconds of importing are saved.

    python -m helpers.warm SOCKET      # the process that is forked, until its standard input is closed
"""

import importlib
import json
import os
import runpy
import select
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.runs import ROOT, TIMEOUT, Done

LOADED = ("torch", "numpy", "PIL.Image", "tokenizers", "soundfile", "soxr", "janus_cli.app")
ROOMS = ("commands", "evaluation", "nets", "stages", "weights", "pipeline", "shell")
# Asks for a fork: hands over its three files, its arguments, folder and environment; exits as the fork does.
CLIENT = """#!{python} -IS
import json, os, socket, sys
asked = json.dumps([sys.argv, os.getcwd(), dict(os.environ)]).encode()
with socket.socket(socket.AF_UNIX) as server:
    server.connect({place!r})
    socket.send_fds(server, [len(asked).to_bytes(8, "little")], [0, 1, 2])
    server.sendall(asked)
    code = server.recv(1)
os._exit(code[0] if code else 70)
"""


@contextmanager
def serve(folder: Path) -> Iterator["WarmShell"]:
    """Keep such a process for as long as the block runs; `folder` (empty) gets its programs."""
    place = str(folder / "socket")
    for name in ("janus", "python", "python3"):
        program = folder / name
        program.write_text(CLIENT.format(python=sys.executable, place=place))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), os.environ["PYTHONPATH"]])}
    command = [sys.executable, "-m", "helpers.warm", place]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        yield WarmShell(folder)  # then its standard input is closed, and it ends


class WarmShell:
    """Runs lines of bash that find these programs first on their PATH."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs

    def __call__(self, line: str, folder: Path, env: dict[str, str] | None = None) -> Done:
        """Run a line in `folder`, with `pipefail`, standard input closed as a terminal's would be."""
        path = f"{self._programs}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {line}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
            cwd=folder,
            env={**os.environ, "PATH": path, **(env or {})},
        )
        return Done(done.returncode, done.stdout, done.stderr.decode("utf-8"))


# ---- the process that is forked


def main() -> None:
    """Load what commands load, then fork for each connection."""
    import torch

    torch.set_num_threads(1)
    for name in LOADED:
        importlib.import_module(name)
    for room in ROOMS:  # without what they import only when it is used
        for file in sorted((ROOT / "janus_cli" / room).rglob("*.py")):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            importlib.import_module(name.removesuffix(".__init__"))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks are nobody's business here
    print("ready", flush=True)
    while listener in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            answer(connection)
        connection.close()


def answer(connection: socket.socket) -> None:
    """Be the program that was asked for, and leave with its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, files, _, _ = socket.recv_fds(connection, 8, 3)
    asked = b""
    while len(asked) < int.from_bytes(size, "little"):
        asked += connection.recv(1 << 16)
    args, folder, environment = json.loads(asked)
    for ours, theirs in enumerate(files):
        os.dup2(theirs, ours)
        os.close(theirs)
    sys.stdin, sys.stdout, sys.stderr = (open(n, mode, encoding="utf-8") for n, mode in enumerate("rww"))  # noqa: SIM115, PTH123
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    code = be(Path(args[0]).name, args[1:])
    for file in (sys.stdout, sys.stderr):
        file.flush()
    connection.sendall(bytes([code & 255]))
    os._exit(0)


def be(program: str, args: list[str]) -> int:
    """Run `janus ARGS`, or `python` with -m MODULE, -c TEXT, - or a file; returns the exit code."""
    import traceback

    try:
        if program == "janus":
            from janus_cli.app import main as janus

            return janus(args)
        sys.path.insert(0, "")
        first, *rest = args
        if first == "-m":
            sys.argv = rest
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        elif first in ("-c", "-"):
            sys.argv = [first, *(rest[1:] if first == "-c" else rest)]
            exec(rest[0] if first == "-c" else sys.stdin.read(), {"__name__": "__main__"})
        else:
            sys.argv = args
            runpy.run_path(first, run_name="__main__")
    except SystemExit as error:
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main()
