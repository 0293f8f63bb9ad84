"""The model zoo: a model's name or folder becomes its configuration and its files.

Knows where model folders lie (its own, the hub's cache, any path) and what is in one. Reads weight files
only as bytes (headers, the codebook): no torch here.
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from janus_cli.config import MAX_JSON, ModelConfig, refuse_twins
from janus_cli.errors import ModelError, RecordError
from janus_cli.media.tensor_header import LENGTH, WIDTH, Tensor, read_entries
from janus_cli.zoo import encodec, hub, janus_pro, weight_files

if TYPE_CHECKING:
    import numpy as np

DEFAULT = "pocket"  # the model that ships inside the package
SENSES = "pocket-any"  # the other one: it sees, hears and speaks
CODEBOOK = "quantize.codebook"  # name of the codebook's tensor in dvae.safetensors
_MOST = 1 << 62  # of a size or an offset in one; the file's own length is the limit


@dataclass(frozen=True)
class Place:
    """Where a model is, before anything in it has been read."""

    name: str
    path: Path

    @property
    def is_published(self) -> bool:
        """Whether it is a published Janus checkpoint rather than one of our own. Raises ModelError."""
        return self.path.is_dir() and weight_files.is_published(self.path)

    @property
    def is_codec(self) -> bool:
        """Whether it is a published EnCodec checkpoint. Raises ModelError."""
        return encodec.is_encodec(self.path)


@dataclass(frozen=True)
class Model:
    """A model folder that was found, with its configuration."""

    name: str
    path: Path
    config: ModelConfig

    def file(self, component: str) -> Path:
        """Find the weights of `component` (one of COMPONENTS). Raises ModelError if the model has none."""
        if getattr(self.config, component) is None:
            raise ModelError(f"model {self.name} has no {component}: choose another with --model")
        if self.config.model_type == encodec.MODEL_TYPE:
            return weight_files.find_weights_file(self.path)
        return self._require(f"{component}.safetensors", f"train it: janus train RECIPE --only {component}")

    @property
    def tokenizer_file(self) -> Path:
        """The text tokenizer's tokenizer.json. Raises ModelError if it is missing."""
        return self._require("tokenizer.json", "copy the model folder again")

    @cached_property
    def text_fingerprint(self) -> str:
        """sha256 of tokenizer.json, as hex digits."""
        return hashlib.sha256(self.tokenizer_file.read_bytes()).hexdigest()

    @cached_property
    def codebook_fingerprint(self) -> str:
        """sha256 of the image codebook: L2-normalised rows, little-endian fp32, as hex digits."""
        return codebook_fingerprint(self.file("dvae"))

    @cached_property
    def codec_fingerprint(self) -> str:
        """The same of the audio codebooks, one below the other. Not for published codecs."""
        return compute_codec_fingerprint(self.file("codec"))

    def _require(self, name: str, remedy: str) -> Path:
        if self.config.model_type == encodec.MODEL_TYPE:
            raise ModelError(f"model {self.name} has no {name}: it knows sounds alone")
        file = self.path / name
        if not file.is_file():
            raise ModelError(f"model {self.name} lacks {file}: {remedy}")
        return file


def read_header(path: Path) -> dict[str, Tensor]:
    """Read the tensors of the weight file `path`, by name; `start` is a tensor's first byte in the file.

    Raises ModelError if it is no safetensors file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = LENGTH.unpack(file.read(LENGTH.size))[0]
            if length > size - LENGTH.size:
                raise ValueError("header longer than the file")
            if length > MAX_JSON:
                raise ValueError(f"a header of {length:,} bytes; at most {MAX_JSON:,} are read")
            entries = json.loads(file.read(length), object_pairs_hook=refuse_twins)
        entries.pop("__metadata__", None)
        for name, entry in entries.items():
            if entry["dtype"] not in WIDTH:
                raise ValueError(f"{name} is stored as {entry['dtype']}; this janus reads {', '.join(WIDTH)}")
        tensors, end = read_entries(entries, WIDTH, _MOST, LENGTH.size + length)
        if cut := [name for name, tensor in tensors.items() if tensor.end > size]:
            raise ValueError(f"{cut[0]} does not fit the file: is it truncated?")
        if end != size:
            raise ValueError(f"{size - end:,} bytes stand behind its tensors")
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None
    except KeyError as error:
        raise ModelError(f"{path}: not a safetensors weight file (a tensor lacks {error})") from None
    except (RecordError, ValueError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise ModelError(f"{path}: not a safetensors weight file ({error})") from None
    return tensors


def codebook_fingerprint(path: Path) -> str:
    """Fingerprint the codebook [K, D] in the dVAE weights `path`: the same on every machine and dtype.

    Raises ModelError if the file has no codebook.
    """
    tensor = read_header(path).get(CODEBOOK)
    if tensor is None or len(tensor.shape) != 2:
        raise ModelError(f"{path}: has no tensor {CODEBOOK} [codes, dim]")
    return fingerprint(_read_floats(path, tensor))


def compute_codec_fingerprint(path: Path) -> str:
    """Fingerprint the codebooks [Q * K, D] in our own codec's weights `path`. Raises ModelError."""
    import numpy as np

    found = {t.name.split(".")[1]: t for t in read_header(path).values() if t.name.endswith(".codebook")}
    books = [found[i] for i in map(str, range(len(found))) if i in found]
    if not books or len(books) != len(found) or {b.shape for b in books} != {books[0].shape}:
        raise ModelError(f"{path}: has no tensors quantizers.N.codebook [codes, dim]")
    return fingerprint(np.concatenate([_read_floats(path, book) for book in books]))


def fingerprint(codebook: "np.ndarray") -> str:
    """Hash a codebook [K, D] of floats: sha256 of its L2-normalised rows, little-endian fp32, as hex digits.

    Rows are normalised in float64, one column added after the other, so that no machine's summation order
    shows.
    """
    import numpy as np

    book = codebook.astype(np.float64)
    square = np.zeros(len(book))
    for column in book.T:
        square += column * column
    norm = np.sqrt(square)
    norm[norm == 0] = 1.0
    return hashlib.sha256((book / norm[:, None]).astype("<f4").tobytes()).hexdigest()


def _read_floats(path: Path, tensor: Tensor) -> "np.ndarray":
    """Read a float tensor as a numpy array; bfloat16 is widened to float32."""
    import numpy as np

    kinds = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
    if tensor.dtype not in kinds:
        raise ModelError(f"{path}: {tensor.name} has dtype {tensor.dtype}, expected a float type")
    data = np.fromfile(path, kinds[tensor.dtype], tensor.size, offset=tensor.start)
    if tensor.dtype == "BF16":
        data = (data.astype("<u4") << 16).view("<f4")
    return data.reshape(tensor.shape)


def list_folders() -> list[Path]:
    """List where models are looked for: JANUS_MODELS, then the package's own folder, else the checkout's."""
    own = [Path(p) for p in os.environ.get("JANUS_MODELS", "").split(os.pathsep) if p]
    package = Path(__file__).parent.parent
    bundled = package / "_models"
    return [*own, bundled if bundled.is_dir() else package.parent / "models"]


def _list_candidates() -> Iterator[Path]:
    for folder in list_folders():
        if folder.is_dir():
            yield from sorted(p for p in folder.iterdir() if (p / "config.json").is_file())


def list_places() -> list[Place]:
    """List every model that is here: the zoo's, then the published ones in the caches."""
    found: dict[str, Place] = {}
    ours = ((path.name, path) for path in _list_candidates())
    for name, path in chain(ours, hub.list_snapshots(), encodec.list_cached()):
        found.setdefault(name, Place(name, path))
    return list(found.values())


def locate(name_or_path: str) -> Place:
    """Locate a model: by its name in the zoo, by its path, or by its name in the hub's cache.

    Never asks the network. Raises ModelError if there is none.
    """
    for path in _list_candidates():
        if path.name == name_or_path:
            return Place(path.name, path)
    if name_or_path in encodec.NAMES:
        return Place(name_or_path, encodec.locate(name_or_path))
    path = Path(name_or_path)
    if path.suffix == ".th" and path.is_file():
        return Place(encodec.read(path).name, path)
    if (path / "config.json").is_file():
        return Place(path.resolve().name, path)
    if not path.exists() and hub.is_name(name_or_path):
        if cached := hub.find_snapshot(name_or_path):
            return Place(name_or_path, cached)
        raise ModelError(f"no model {name_or_path!r} here: janus models pull {name_or_path} fetches it")
    have = ", ".join(sorted({p.name for p in _list_candidates()})) or "none"
    raise ModelError(f"no model {name_or_path!r} (have: {have}): give a name or a folder with a config.json")


def find(name_or_path: str) -> Model:
    """Locate a model and read its configuration.

    Raises ModelError if there is none, or its config.json is not one of ours.
    """
    place = locate(name_or_path)
    read = encodec.read if place.is_codec else janus_pro.read
    config = read(place.path, place.name)
    return Model(place.name if place.name == name_or_path else config.name, place.path, config)
