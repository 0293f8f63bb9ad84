"""Models of the Hugging Face hub: found in the cache that all tools share, pulled into it.

Only `pull` imports huggingface_hub and touches the network. The cache's layout (documented in
huggingface_hub's guide "Understand caching") is models--ORG--NAME/{refs,snapshots,blobs,trees}.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from janus_cli.config import Progress
from janus_cli.errors import ModelError, UsageError
from janus_cli.zoo import encodec, weight_files
from janus_cli.zoo.fetching import LargeFile, fetch

MAIN = "main"
_LIBRARY = "janus-cli"  # who asks
_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_SHA256, _SHA1 = 64, 40  # hex digits


@dataclass(frozen=True)
class Digest:
    """What the hub says a file holds: a plain sha256, or git's sha1 of a blob."""

    hex: str

    @property
    def kind(self) -> str:
        """sha256, or git's."""
        return "sha256" if len(self.hex) == _SHA256 else "git sha1"

    def of(self, path: Path) -> str:
        """Compute the same digest of the file at `path`, as hex digits."""
        with path.open("rb") as file:
            if len(self.hex) == _SHA256:
                return hashlib.file_digest(file, "sha256").hexdigest()
            git = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
            while chunk := file.read(1 << 20):
                git.update(chunk)
            return git.hexdigest()


def is_name(text: str) -> bool:
    """Whether `text` could be a model of the hub: ORG/NAME or ORG/NAME@REVISION."""
    return _NAME.fullmatch(text) is not None and not text.startswith(".")


def find_cache_folder() -> Path:
    """Find where the hub's tools keep what they fetched: HF_HUB_CACHE, HF_HOME/hub, ~/.cache/...."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{caches}/huggingface"
    folder = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or f"{home}/hub"
    return Path(os.path.expandvars(folder)).expanduser()


def find_snapshot(name: str) -> Path | None:
    """Find the folder of ORG/NAME[@REVISION] in the cache, None if it is not there; asks no network."""
    repository, revision = _split(name)
    folder = find_cache_folder() / f"models--{repository.replace('/', '--')}"
    with contextlib.suppress(OSError, ValueError):  # a commit is no ref
        revision = (folder / "refs" / revision).read_text("ascii").strip()
    path = folder / "snapshots" / revision
    return path if (path / "config.json").is_file() else None


def list_snapshots() -> Iterator[tuple[str, Path]]:
    """List the cached revisions of all Janus and EnCodec models; the cache is shared with other models.

    Each with its name, ORG/NAME, with @REVISION where that is not main.
    """
    for folder in sorted(find_cache_folder().glob("models--*--*")):
        name = folder.name.removeprefix("models--").replace("--", "/", 1)
        for path in sorted((folder / "snapshots").glob("*")):
            if _is_janus(path):
                names = _list_refs(folder, path.name) or [path.name]
                yield name if MAIN in names else f"{name}@{names[0]}", path


def find_missing(path: Path) -> list[str]:
    """Find which files a model needs that the hub lists for the snapshot `path` and that are not there."""
    listed = _read_listing(path)
    return sorted(name for name in _choose_files(list(listed)) if not (path / name).is_file())


def read_digests(path: Path) -> dict[str, Digest]:
    """Read what the hub says each file of the folder `path` holds; {} for a folder that is no snapshot.

    The cache names a file's blob by its digest; where it has no links its listing of the commit tells.
    """
    if path.parent.name != "snapshots":
        return {}
    tree, found = _read_listing(path), {}
    for file in sorted(p for p in path.iterdir() if p.is_file()):
        hex = Path(os.path.realpath(file)).name if file.is_symlink() else tree.get(file.name, "")
        if re.fullmatch(rf"[0-9a-f]{{{_SHA1}}}|[0-9a-f]{{{_SHA256}}}", hex):
            found[file.name] = Digest(hex)
    return found


def pull(name: str, progress: Progress) -> Path:
    """Fetch what a model needs of ORG/NAME[@REVISION] into the cache; returns its folder.

    What is there is not fetched again: neither whole files nor the beginning of a large one, whoever broke it
    off. With HF_HUB_OFFLINE only the cache is asked. safetensors are preferred to .bin where a model has
    both. Raises ModelError: no such model or revision, no access, no network, a full disk, a file that is not
    what the hub lists.
    """
    if not is_name(name):
        raise UsageError(f"{name!r}: expected ORG/NAME, for example deepseek-ai/Janus-Pro-1B")
    import huggingface_hub as hf
    from huggingface_hub import errors
    from huggingface_hub.utils.tqdm import disable_progress_bars

    repository, revision = _split(name)
    disable_progress_bars()  # the small files need none
    try:
        api = hf.HfApi(library_name=_LIBRARY)
        info = api.model_info(repository, revision=revision, files_metadata=True)
        chosen = _choose_files([file.rfilename for file in info.siblings or []])
        wanted = [file for file in info.siblings or [] if file.rfilename in chosen]
        _fetch_large(wanted, repository, info.sha or revision, progress)
        path = Path(
            hf.snapshot_download(
                repository,
                revision=revision,
                cache_dir=find_cache_folder(),
                library_name=_LIBRARY,
                allow_patterns=chosen,
            )
        )
        _check_small([file for file in wanted if file.lfs is None], path)
        return path
    except errors.HFValidationError:
        raise ModelError(f"{name}: no name of the hub: give ORG/NAME, or ORG/NAME@REVISION") from None
    except errors.OfflineModeIsEnabled:
        return _find_offline(name)
    except errors.GatedRepoError:
        raise ModelError(f"{repository}: accept its terms on its page first, then hf auth login") from None
    except errors.RepositoryNotFoundError:
        raise ModelError(f"{repository}: not on the hub, or private: see hf auth login") from None
    except errors.RevisionNotFoundError:
        raise ModelError(f"{repository}: the hub has no revision {revision!r} of it") from None
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]  # httpx's own, by its version
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if isinstance(error, OSError) and error.strerror:
            reason = error.strerror
        raise ModelError(f"{name}: not pulled ({reason}); run it again to go on") from None


def _fetch_large(files: list[Any], repository: str, commit: str, progress: Progress) -> None:
    """Fetch those of `files` that the hub keeps apart because they are large, into the cache's blobs."""
    import huggingface_hub as hf
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    headers = build_hf_headers(library_name=_LIBRARY)
    blobs = find_cache_folder() / f"models--{repository.replace('/', '--')}" / "blobs"
    for file in files:
        if file.lfs is not None and re.fullmatch(rf"[0-9a-f]{{{_SHA256}}}", file.lfs.sha256):
            url = hf.hf_hub_url(repository, file.rfilename, revision=commit)
            fetch(LargeFile(file.rfilename, url, file.lfs.size, file.lfs.sha256), blobs, headers, progress)


def _check_small(files: list[Any], path: Path) -> None:
    """Check what huggingface_hub has fetched. Raises ModelError for a file that the hub lists otherwise."""
    for file in files:
        place = path / file.rfilename
        if file.blob_id and place.is_file() and (digest := Digest(file.blob_id)).of(place) != digest.hex:
            place.resolve().unlink()
            place.unlink(missing_ok=True)
            raise ModelError(
                f"{file.rfilename}: not what the hub lists has come, and is deleted: pull it again"
            )


def _find_offline(name: str) -> Path:
    """Find `name` in the cache. Raises ModelError if it is not there, or not all of it."""
    path = find_snapshot(name)
    if path is None:
        raise ModelError(f"{name}: not in {find_cache_folder()}, and HF_HUB_OFFLINE is set: pull it without")
    if lacking := find_missing(path):
        raise ModelError(f"{name}: {lacking[0]} is not here yet, and HF_HUB_OFFLINE is set: pull it without")
    return path


def _choose_files(files: list[str]) -> list[str]:
    """Choose the files of a repository that a model needs: weights in one format, and those beside them."""
    top = [Path(name) for name in files if "/" not in name]
    kind = ".safetensors" if any(p.suffix == ".safetensors" for p in top) else ".bin"
    other = {".safetensors": ".bin.index.json", ".bin": ".safetensors.index.json"}[kind]
    return [
        p.name
        for p in top
        if p.suffix == kind or (any(map(p.match, weight_files.BESIDE)) and not p.name.endswith(other))
    ]


def _split(name: str) -> tuple[str, str]:
    repository, _, revision = name.partition("@")
    return repository, revision or MAIN


def _list_refs(repository: Path, commit: str) -> list[str]:
    """List the branches and tags that stand for `commit`."""
    refs = repository / "refs"
    files = sorted(p for p in refs.rglob("*") if p.is_file())
    return [str(p.relative_to(refs)) for p in files if p.read_text("ascii", "replace").strip() == commit]


def _is_janus(path: Path) -> bool:
    try:
        return weight_files.is_published(path) or encodec.is_encodec(path)
    except ModelError:
        return False


def _read_listing(path: Path) -> dict[str, str]:
    """Read the hub's listing of the snapshot `path`: file name to digest; {} in older caches."""
    try:
        listing = json.loads((path.parent.parent / "trees" / f"{path.name}.json").read_text("utf-8"))
        return {name: entry.get("lfs_sha256") or entry["blob_id"] for name, entry in listing["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
