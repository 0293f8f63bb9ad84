"""A hub of one model on this machine: a cache folder made by hand, and a server for `models pull`."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NAME, COMMIT = "deepseek-ai/Janus-Tiny", "0123456789abcdef0123456789abcdef01234567"


def digest(data: bytes, large: bool) -> str:
    """sha256 of a large file, git's sha1 of another."""
    git = b"blob %d\0" % len(data) + data
    return hashlib.sha256(data).hexdigest() if large else hashlib.sha1(git).hexdigest()


def is_large(name: str) -> bool:
    return name.endswith((".bin", ".safetensors"))


def write_cache(cache: Path, files: dict[str, bytes], ref: str = "main") -> Path:
    """The files as huggingface_hub keeps them: blobs by digest, links to them, a ref, the listing."""
    repository = cache / f"models--{NAME.replace('/', '--')}"
    folder = repository / "snapshots" / COMMIT
    for place in (folder, repository / "blobs", repository / "refs", repository / "trees"):
        place.mkdir(parents=True, exist_ok=True)
    entries = {}
    for name, data in files.items():
        hex = digest(data, is_large(name))
        (repository / "blobs" / hex).write_bytes(data)
        (folder / name).symlink_to(f"../../blobs/{hex}")
        entries[name] = {"size": len(data), "blob_id": "0" * 40} | (
            {"lfs_sha256": hex, "lfs_size": len(data)} if is_large(name) else {"blob_id": hex}
        )
    (repository / "refs" / ref).write_text(COMMIT)
    (repository / "trees" / f"{COMMIT}.json").write_text(json.dumps({"format_version": 1, "files": entries}))
    return folder


class Hub(ThreadingHTTPServer):
    """A server that speaks as much of the hub's language as a pull needs; it keeps what it was asked for."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.cut: int | None = None  # bytes after which the next large file's transfer breaks off
        self.moves = False  # large files are elsewhere, as the hub's are
        self.ignores_ranges = False
        self.lies: dict[str, bytes] = {}  # what is sent instead of a file
        self.stall = threading.Event()  # set: a transfer that is cut stays open until it is cleared
        self.arrived = threading.Event()  # a cut transfer has sent what it sends

    def handle_error(self, *_: object) -> None:
        """Say nothing of those who hang up."""


@contextmanager
def serve(files: dict[str, bytes]) -> Iterator[Hub]:
    """A hub that answers for as long as the block runs."""
    with Hub(files) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        try:
            yield hub
        finally:
            hub.shutdown()


class Handler(BaseHTTPRequestHandler):
    """One request to a hub."""

    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        path = self.path.partition("?")[0]
        known = [f"/api/models/{NAME}/revision/{word}" for word in ("main", "v2", COMMIT)]
        if path in (f"/api/models/{NAME}", *known):
            siblings = [sibling(*file) for file in self.server.files.items()]
            self.send(json.dumps({"id": NAME, "sha": COMMIT, "siblings": siblings}).encode())
        elif path == f"/api/models/{NAME}/tree/{COMMIT}":
            self.send(json.dumps([listed(*file) for file in self.server.files.items()]).encode())
        elif path.startswith((f"/{NAME}/resolve/{COMMIT}/", "/elsewhere/")):
            self.send_file(path.rpartition("/")[2], body)
        else:
            code = "RevisionNotFound" if NAME in path else "RepoNotFound"
            self.send(b"{}", 404, {"X-Error-Code": code})

    def send_file(self, name: str, body: bool) -> None:
        data = self.server.files[name]
        if self.server.moves and is_large(name) and not self.path.startswith("/elsewhere/"):
            linked = {"X-Linked-Size": str(len(data)), "X-Linked-ETag": f'"{digest(data, True)}"'}
            self.send(b"", 302, {"Location": f"/elsewhere/{name}", "X-Repo-Commit": COMMIT, **linked})
            return
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        start = 0 if self.server.ignores_ranges else start
        if body:
            self.server.asked.append(f"{name}@{start}")
        headers = {
            "ETag": f'"{digest(data, is_large(name))}"',
            "X-Repo-Commit": COMMIT,
            "Accept-Ranges": "bytes",
        }
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        cut = None
        if body and is_large(name):
            cut, self.server.cut = self.server.cut, None
        data = self.server.lies.get(name, data)
        self.send(data[start:], 206 if start else 200, headers, body, cut)

    def send(
        self,
        data: bytes,
        status: int = 200,
        headers: dict[str, str] | None = None,
        body: bool = True,
        cut: int | None = None,
    ) -> None:
        self.send_response(status)
        for word, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(word, value)
        self.end_headers()
        if body:
            self.wfile.write(data[:cut])
        if cut is not None:
            self.server.arrived.set()
            while self.server.stall.is_set():
                time.sleep(0.05)
        self.close_connection = cut is not None


def sibling(name: str, data: bytes) -> dict[str, object]:
    """A file in the hub's description of a model."""
    entry: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": digest(data, False)}
    if is_large(name):
        entry["lfs"] = {"sha256": digest(data, True), "size": len(data), "pointerSize": 1}
    return entry


def listed(name: str, data: bytes) -> dict[str, object]:
    """A file in the hub's listing of a revision."""
    entry: dict[str, object] = {"type": "file", "path": name, "size": len(data), "oid": digest(data, False)}
    if is_large(name):
        entry["lfs"] = {"oid": digest(data, True), "size": len(data), "pointerSize": 1}
    return entry
