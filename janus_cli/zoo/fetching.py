"""One large file of the hub, in as many attempts as it takes: what a killed process has fetched is kept.

huggingface_hub goes on with a file only as long as its process lives; a model's weights are gigabytes.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from janus_cli.config import Progress
from janus_cli.errors import ModelError

_ATTEMPTS = 5  # in a row of which nothing came
_PAUSE = 1.0  # seconds before another attempt


@dataclass(frozen=True)
class LargeFile:
    """What the hub says of a file."""

    name: str
    url: str
    size: int  # bytes
    sha256: str  # hex digits


def fetch(large: LargeFile, blobs: Path, headers: dict[str, str], progress: Progress) -> None:
    """Fetch a file into the cache's folder of blobs, where it is named after its digest.

    What an earlier call has left there, `<digest>.incomplete`, is gone on with. Raises ModelError: a full
    disk, another process that fetches it, other content than the hub lists; what a request raises passes.
    """
    blob = blobs / large.sha256
    if blob.exists():
        return
    blobs.mkdir(parents=True, exist_ok=True)
    part = blobs / f"{large.sha256}.incomplete"
    with _open_alone(part, large.name) as file:
        _check_room(large, file)
        failed = 0
        while file.tell() < large.size:
            before, fault = file.tell(), _receive(large, file, headers, progress)
            failed = 0 if file.tell() > before else failed + 1
            if failed == _ATTEMPTS:
                raise fault or ModelError(f"{large.name}: the hub sends less of it than it lists")
            time.sleep(_PAUSE if fault else 0)
        os.fsync(file.fileno())
        with part.open("rb") as whole:
            found = hashlib.file_digest(whole, "sha256").hexdigest()
        if found != large.sha256:
            part.unlink()
            raise ModelError(f"{large.name}: not what the hub lists has come, and is deleted: pull it again")
        part.replace(blob)


@contextlib.contextmanager
def _open_alone(part: Path, name: str) -> Iterator[BinaryIO]:
    """Open a file to append to, for this process alone. Raises ModelError where another has it."""
    with part.open("ab", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ModelError(f"{name}: another process is pulling it: wait for that one") from None
        except OSError:  # a file system without locks
            pass
        yield file


def _check_room(large: LargeFile, file: BinaryIO) -> None:
    """Raise ModelError where the rest of a file does not fit on the disk."""
    needed, free = large.size - file.tell(), shutil.disk_usage(Path(file.name).parent).free
    if needed > free:
        sizes = f"{needed / 1e6:,.1f} MB are needed, {free / 1e6:,.1f} MB are free"
        raise ModelError(f"{large.name}: the disk is full: {sizes}")


def _receive(
    large: LargeFile, file: BinaryIO, headers: dict[str, str], progress: Progress
) -> Exception | None:
    """Ask for the rest of a file and append what comes; returns what broke the connection, None if nothing.

    More than the hub lists is not taken. What the hub itself answers instead passes as its error.
    """
    from huggingface_hub import errors
    from huggingface_hub.constants import HF_HUB_DOWNLOAD_TIMEOUT as TIMEOUT
    from huggingface_hub.utils import get_session, hf_raise_for_status  # type: ignore[attr-defined]

    start = file.tell()
    asked = {**headers, "Range": f"bytes={start}-", "Accept-Encoding": "identity"}
    answer = get_session().stream("GET", large.url, headers=asked, timeout=TIMEOUT, follow_redirects=True)
    try:
        with answer as response:
            hf_raise_for_status(response)
            if response.status_code != 206 or not _begins_at(response, start):
                file.truncate(0)  # all of it comes
                file.seek(0)
            for chunk in response.iter_bytes():
                view = memoryview(chunk)[: large.size + 1 - file.tell()]
                progress(len(view))
                while view:  # a disk that is nearly full takes less than it is given
                    view = view[file.write(view) :]
    except errors.HfHubHTTPError:
        raise
    except errors.HTTPError as error:  # type: ignore[attr-defined]  # httpx's own, by its version
        return error
    return None


def _begins_at(response: Any, start: int) -> bool:
    return str(response.headers.get("Content-Range", "")).startswith(f"bytes {start}-")
