"""How a process shares the machine: how its threads wait, and how many there are.

Knows the environment variables that OpenMP reads when torch is loaded; knows no torch. A library must not
change the environment of a program that merely imports it: the `janus` command calls `share_processors`, and
another program may, before it imports torch.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
# What says how threads wait for one another. GNU's OpenMP (torch's on Linux) and LLVM's and Intel's spin for
# milliseconds unless told otherwise: where another process runs, they keep the slowest of them from its work.
_PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
_WAITING = (*_PASSIVE, "GOMP_SPINCOUNT")
_BLAS = ("OPENBLAS_THREAD_TIMEOUT", "4")  # numpy's: 2^4 cycles of spinning, the least that can be asked for
_THREADS = "OMP_NUM_THREADS"


def share_processors() -> None:
    """Have the threads of torch sleep while they wait, and no more of them than a cgroup's quota feeds.

    To be called before torch is imported, and of no use after. What the user has set stays; the processors
    that a process is bound to are counted by OpenMP itself.
    """
    if not any(name in os.environ for name in _WAITING):
        os.environ.update(_PASSIVE)
    os.environ.setdefault(*_BLAS)
    quota = read_quota()
    if quota is not None and _THREADS not in os.environ and (threads := math.ceil(quota)) < _count_bound():
        os.environ[_THREADS] = str(max(1, threads))


def _count_bound() -> int:
    """Count the processors that this process is bound to."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_quota(membership: Path = Path("/proc/self/cgroup"), root: Path = _CGROUPS) -> float | None:
    """Read how many processors' time the cgroups of this process get, the least of all; None: no limit."""
    try:
        lines = membership.read_text("utf-8", "replace").splitlines()
    except OSError:  # no Linux
        return None
    shares = [share for line in lines if line.count(":") >= 2 for share in _list_shares(line, root)]
    return min(shares, default=None)


def _list_shares(line: str, root: Path) -> Iterator[float]:
    """List the limits of one line `number:controllers:path` of /proc/self/cgroup, up to the topmost group.

    A container may show a path of the host's: what of it is not there is passed over.
    """
    _, controllers, path = line.split(":", 2)
    if not controllers:  # version 2, alone or beside version 1
        mounts, read = (root, root / "unified"), _read_v2
    elif "cpu" in controllers.split(","):
        mounts, read = (root / controllers, root / "cpu"), _read_v1
    else:
        return
    group = Path(path.lstrip("/"))
    for mount in mounts:
        for folder in (group, *group.parents):
            share = read(mount / folder)
            if share is not None:
                yield share


def _read_v2(folder: Path) -> float | None:
    """Read cpu.max of cgroup version 2: "max 100000", or microseconds of each period."""
    words = _read_words(folder / "cpu.max")
    return _divide(words[0], words[1]) if len(words) == 2 else None


def _read_v1(folder: Path) -> float | None:
    """Read the quota of cgroup version 1, -1 for none."""
    quota, period = (_read_words(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    return _divide(quota[0], period[0]) if quota and period else None


def _read_words(path: Path) -> list[str]:
    try:
        return path.read_text("ascii", "replace").split()
    except OSError:
        return []


def _divide(quota: str, period: str) -> float | None:
    """Divide microseconds; None where the first is no positive number, which is no limit."""
    if not (quota.isdecimal() and period.isdecimal()) or not int(quota) * int(period):
        return None
    return int(quota) / int(period)
