"""Files from strangers, made up by the thousand: `python -m bench.fuzz TARGET|all --seconds 600 --out DIR`.

A target takes bytes as a file, a stream or a line would bring them. Whatever they are, it must give a clean
result or raise a JanusError of one line, soon, and in little memory. Needs `atheris` (pip install atheris).
Nothing stops at a find: DIR/TARGET/finds has the first input of each kind, and its traceback; DIR/TARGET.log
what libFuzzer says, DIR/TARGET/corpus what it kept. `tests/house/test_fuzz.py` replays the seeds and the
inputs that are kept in `tests/corpus`.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from janus_cli.errors import JanusError, ModelError

SLOW = 2.0  # seconds of CPU: a find too
LONGEST = 6000  # characters of a message
LIMIT_MB = 2000
_ROOT = Path(__file__).parent.parent
_FAST = Path("/dev/shm")

# What a number, a word or a list in a file may be replaced by.
NASTY: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2,
        7,
        255,
        4096,
        2**20,
        2**31,
        2**32,
        2**53,
        2**63,
        2**64,
        10**30,
        -(2**70),
    ),
    *(
        0.5,
        -0.0,
        1e308,
        5e-324,
        float("nan"),
        float("inf"),
        "",
        "x",
        "\ud800",
        "../../x",
        "a" * 300,
        "\0",
        "é",
    ),
    *(
        [],
        {},
        [[]],
        [None],
        {"": 0},
        [1, 2],
        [0] * 50,
        "F32",
        "BF16",
        "0.text",
        "null",
        "text",
        "image",
        "audio",
    ),
]


@dataclass(frozen=True)
class Target:
    """What is fuzzed: `run` takes the bytes, `seeds` gives good ones to begin with."""

    run: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]
    json: bool = False  # whether the bytes are JSON, and are changed as such


@cache
def _folder() -> Path:
    """A folder for the files of this process, in memory where there is such a place."""
    return Path(tempfile.mkdtemp(prefix="janus-fuzz-", dir=_FAST if _FAST.is_dir() else None))


def _write(name: str, data: bytes) -> Path:
    path = _folder() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# ---- records


def _make_records() -> list[bytes]:
    import numpy as np

    from janus_cli.records import Part, Record, Segment, dumps

    info = {"tokenizer": "pocket", "fingerprint": "a" * 64}
    text = Segment("text", np.arange(3, dtype=np.uint16), info)
    image = Segment("image", np.ones((2, 3), np.uint16), info | {"patch": 8, "size": [16, 20]})
    sound = {"sample_rate": 16000, "frame_rate": 50, "num_samples": 600, "scales": [1.0]}
    audio = Segment("audio", np.ones((2, 2), np.uint16), info | sound)
    wave = Segment("waveform", np.zeros((1, 4), np.float32), sound)
    made = ({"stage": "tokenize", "text": "a"}, {"stage": "generate", "seed": 1, "index": 0, "model": "m"})
    return [
        dumps(Record((text,), "a", made)),
        dumps(Record((image,), "b", made, Part(0, True, (0, 2)))),
        dumps(Record((audio, wave))),
        dumps(Record(()), seq=0),
    ]


def _read_records(data: bytes) -> None:
    """Read a stream; what can be read must be shown, and read back the same from what is written of it."""
    from janus_cli.records import dumps, loads, read_stream
    from janus_cli.records.progressive import PartOrder
    from janus_cli.shell.facts import describe_record

    parts = PartOrder()
    for record in read_stream(io.BytesIO(data), "a"):
        assert dumps(loads(dumps(record))) == dumps(record)
        json.dumps(describe_record(record), allow_nan=False)
        parts.check(record)


def _read_metadata(data: bytes) -> None:
    """Read a record of three segments with `data` as its metadata."""
    from janus_cli.media.tensor_header import frame

    shapes = {"0.text": ("U16", [1], 2), "1.image": ("U16", [1, 2], 4), "2.audio": ("U16", [1, 1], 2)}
    header: dict[str, Any] = {"__metadata__": {"janus": data.decode("utf-8", "replace")}}
    end = 0
    for name, (dtype, shape, size) in shapes.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    _read_records(frame(json.dumps(header)) + bytes(end))


def _make_metadata() -> list[bytes]:
    info = {"tokenizer": "pocket", "fingerprint": "a" * 64, "patch": 8, "size": [8, 16], "source": "a.png"}
    sound = info | {"sample_rate": 16000, "frame_rate": 50, "num_samples": 320, "scales": [1.0]}
    step = {"stage": "generate", "seed": 1, "index": 0, "model": "m", "words": "a", "grid": [1, 2]}
    whole = {"format": 1, "id": "a", "made_by": [step], "segments": [info, info, sound]}
    return [
        json.dumps(whole | more).encode()
        for more in ({}, {"part": {"index": 0, "last": True, "rows": [0, 1]}})
    ]


def _read_wire(data: bytes) -> None:
    """Read one blob whose header is `data`, and a little body."""
    from janus_cli.media.tensor_header import LENGTH
    from janus_cli.records import wire

    file = io.BytesIO(LENGTH.pack(len(data)) + data + bytes(64))
    if (header := wire.read_header(file)) is not None:
        arrays = wire.read_body(file, header)
        wire.pack(header.meta, arrays)


def _make_headers() -> list[bytes]:
    entry = {"dtype": "U16", "shape": [2, 3], "data_offsets": [0, 12]}
    more = {"dtype": "F32", "shape": [1], "data_offsets": [12, 16]}
    metadata = {"__metadata__": {"janus": json.dumps({"format": 1, "segments": [{}, {}]})}}
    return [
        json.dumps({"0.image": entry, "1.waveform": more} | metadata).encode(),
        json.dumps(metadata).encode(),
    ]


def _read_tar(data: bytes) -> None:
    """Read the records in a tar."""
    from janus_cli.media.shards import read_members
    from janus_cli.records import read_stream

    for member in read_members(io.BytesIO(data), "a.tar"):
        if member.is_file:
            for _ in read_stream(member, member.name):  # type: ignore[arg-type]
                pass


def _make_tars() -> list[bytes]:
    records = _make_records()
    made = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=form) as tar:
            for i, record in enumerate(records[:2]):
                member = tarfile.TarInfo(f"{'ü' * (40 * i)}{i}.safetensors")
                member.size = len(record)
                tar.addfile(member, io.BytesIO(record))
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(link)
        made.append(file.getvalue()[: -8 * 512])
    return made


# ---- models


def _read_config(data: bytes) -> None:
    """Find and describe a model whose config.json is `data`, with a small file for each net."""
    from janus_cli import zoo
    from janus_cli.pipeline.inspection import describe_model

    path = _write("model/config.json", data)
    json.dumps(describe_model(zoo.locate(str(path.parent))))
    zoo.find(str(path.parent))


def _make_configs() -> list[bytes]:
    from bench.make_checkpoint import SHAPES, original_config, transformers_config

    found = [(_ROOT / "models" / name / "config.json").read_bytes() for name in ("pocket-any", "judge")]
    for build in (original_config, transformers_config):
        found.append(json.dumps(build(SHAPES["tiny"], 300, "float32")).encode())
    found.append(json.dumps({"model_type": "encodec", "sampling_rate": 24000, "num_filters": 8}).encode())
    return found


def _build_nets(data: bytes) -> None:
    """Load each net that the config.json `data` asks for from a tiny model's files."""
    from janus_cli import weights, zoo
    from janus_cli.config import COMPONENTS

    folder = _tiny()
    (folder / "config.json").write_bytes(data)
    model = zoo.find(str(folder))
    for component in COMPONENTS:
        if getattr(model.config, component) is not None:
            weights.load_component(model, component, lambda: "cpu")


@cache
def _tiny() -> Path:
    sys.path.insert(0, str(_ROOT / "tests"))
    from helpers.models import build_tiny_model

    return build_tiny_model(_folder() / "tiny", senses=True)


def _make_tiny_configs() -> list[bytes]:
    return [(_tiny() / "config.json").read_bytes()]


def _read_weights(data: bytes) -> None:
    """Read a weight file whose header is `data`, and fingerprint it as image and audio tokenizer."""
    from janus_cli import zoo
    from janus_cli.media.tensor_header import LENGTH

    path = _write("w.safetensors", LENGTH.pack(len(data)) + data + bytes(64))
    zoo.read_header(path)
    for look in (zoo.codebook_fingerprint, zoo.models.compute_codec_fingerprint):
        try:
            look(path)
        except ModelError as error:
            _check_message(error)


def _make_weight_headers() -> list[bytes]:
    def entry(shape: list[int], start: int) -> dict[str, Any]:
        return {"dtype": "F32", "shape": shape, "data_offsets": [start, start + 32]}

    names = ("quantize.codebook", "quantizers.0.codebook")
    return [json.dumps({names[0]: entry([4, 2], 0), names[1]: entry([4, 2], 32)}).encode()]


def _read_index(data: bytes) -> None:
    """Read the tensors that the index `data` says are in two shards."""
    from janus_cli import zoo
    from janus_cli.zoo import weight_files

    _write("sharded/a.safetensors", _SHARD)
    path = _write("sharded/model.safetensors.index.json", data)
    weight_files.read_tensors(path.parent, zoo.read_header)


_SHARD = (
    (56).to_bytes(8, "little") + b'{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}'.ljust(56) + b"\0\0"
)


def _make_indexes() -> list[bytes]:
    return [json.dumps({"metadata": {"total_size": 2}, "weight_map": {"a": "a.safetensors"}}).encode()]


def _read_pickle(data: bytes) -> None:
    """Read a weight file of torch.save whose table is `data`, or the whole file in its old format."""
    from janus_cli.weights.checkpoint import Checkpoint, check_numbers, read_state

    with contextlib.suppress(ModelError):
        read_state(_write("old.bin", data))
    path = _folder() / "w.bin"
    with zipfile.ZipFile(path, "w") as packed:
        members = {
            "data.pkl": data,
            "byteorder": b"little",
            "version": b"3\n",
            "data/0": bytes(24),
            "data/1": bytes(4),
        }
        for name, content in members.items():
            packed.writestr(f"a/{name}", content)
    read_state(path)
    checkpoint = Checkpoint.open(path)
    check_numbers(checkpoint, checkpoint)


def _make_pickles() -> list[bytes]:
    import torch

    made = []
    for new in (True, False):
        file = io.BytesIO()
        state = {"a": torch.ones(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)}
        torch.save(state, file, _use_new_zipfile_serialization=new)
        made.append(zipfile.ZipFile(file).read("archive/data.pkl") if new else file.getvalue())
    return made


# ---- pictures and sounds


def _read_pictures(data: bytes) -> None:
    """Read every picture in a file."""
    from janus_cli.media.pictures import read_frames

    for frame in read_frames(io.BytesIO(data), "a", lambda line: None):
        height, width, channels = frame.pixels.shape
        assert height > 0 and width > 0 and channels == 3, "no picture, and no error"


def _make_pictures() -> list[bytes]:
    from PIL import Image

    made, first = [], Image.linear_gradient("L").resize((16, 12)).convert("RGB")
    second = first.transpose(Image.Transpose.ROTATE_180)
    for format in (
        "PNG",
        "GIF",
        "WEBP",
        "TIFF",
        "MPO",
        "AVIF",
        "JPEG",
        "JPEG2000",
        "BMP",
        "PPM",
        "TGA",
        "ICO",
    ):
        file = io.BytesIO()
        several = {"save_all": True, "append_images": [second]} if len(made) < 6 else {}
        first.save(file, format, **several)
        made.append(file.getvalue())
    return made


def _read_sound(data: bytes) -> None:
    """Read a sound to its end, and what its file says of it."""
    import numpy as np

    from janus_cli.media.sounds import open_sound

    with open_sound(io.BytesIO(data), "a") as sound:
        for piece in sound.pieces:
            assert len(piece) == sound.channels and np.isfinite(piece).all(), "no sound, and no error"


def _make_sounds() -> list[bytes]:
    import numpy as np
    import soundfile

    made, wave = [], np.sin(np.arange(1200) / 20).reshape(600, 2) / 2
    kinds = (("WAV", "PCM_16"), ("WAV", "FLOAT"), ("AIFF", "PCM_24"), ("AU", "ULAW"), ("CAF", "ALAC_16"))
    for format, subtype in (*kinds, ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)):
        file = io.BytesIO()
        soundfile.write(file, wave, 16000, subtype, format=format)
        made.append(file.getvalue())
    return made


# ---- texts


def _read_tokenizer(data: bytes) -> None:
    """Load the tokenizer.json `data`, encode and decode."""
    from janus_cli.stages.text import TextTokenizer

    text = TextTokenizer(_write("tokenizer.json", data), "a")
    record = text.encode("a red äpple\n 苹果")
    text.decode(record.segments[0])
    text.spell(record.segments[0].data.tolist())


def _make_tokenizers() -> list[bytes]:
    return [(_tiny() / "tokenizer.json").read_bytes()]


def _read_prompts(data: bytes) -> None:
    """Read prompts from standard input, as lines and as one text, and tokenize them."""
    from janus_cli.shell.failures import Failures
    from janus_cli.shell.inputs import read_text
    from janus_cli.shell.making import DRAWING
    from janus_cli.shell.names import slug
    from janus_cli.shell.prompts import read_wishes
    from janus_cli.stages.wording import clean_prompt

    def encode(text: str) -> None:
        slug(text)
        _pocket_lexicon().interpret(text)
        _pocket_text().encode(text).prompt.encode("utf-8")

    with contextlib.redirect_stderr(io.StringIO()):
        sys.stdin = io.TextIOWrapper(io.BytesIO(data), "utf-8")
        for wish in read_wishes((), True, DRAWING.keys, failures := Failures()):
            if wish is not None:
                with failures.item():
                    encode(clean_prompt(wish.text))
        sys.stdin = io.TextIOWrapper(io.BytesIO(data), "utf-8")
        encode(read_text())


@cache
def _pocket_lexicon() -> Any:
    from janus_cli.stages.lexicon import FILE, Lexicon

    return Lexicon.read(_ROOT / "models" / "pocket" / FILE)


@cache
def _pocket_text() -> Any:
    from janus_cli.stages.text import TextTokenizer

    return TextTokenizer(_ROOT / "models" / "pocket" / "tokenizer.json", "pocket")


def _make_prompts() -> list[bytes]:
    lines = [
        "a red apple",
        "\ufeffa blue car\r",
        "# note",
        "",
        "name\tprompt",
        '{"prompt": "a", "seed": 1}',
        "e\u0301",
    ]
    return ["\n".join(lines).encode(), b"a\rb\r\nc\0d", b"\xff\xfea\0", lines[5].encode()]


TARGETS = {
    "records": Target(_read_records, _make_records),
    "metadata": Target(_read_metadata, _make_metadata, json=True),
    "wire": Target(_read_wire, _make_headers, json=True),
    "tar": Target(_read_tar, _make_tars),
    "config": Target(_read_config, _make_configs, json=True),
    "nets": Target(_build_nets, _make_tiny_configs, json=True),
    "weights": Target(_read_weights, _make_weight_headers, json=True),
    "index": Target(_read_index, _make_indexes, json=True),
    "pickles": Target(_read_pickle, _make_pickles),
    "pictures": Target(_read_pictures, _make_pictures),
    "sounds": Target(_read_sound, _make_sounds),
    "tokenizer": Target(_read_tokenizer, _make_tokenizers, json=True),
    "prompts": Target(_read_prompts, _make_prompts),
}


# ---- running


def _check_message(error: JanusError) -> None:
    """Raise AssertionError for a message that is no line."""
    text = str(error)
    assert text and "\n" not in text and len(text) <= LONGEST, f"a message that is no line: {text!r}"


def try_input(target: Target, data: bytes, most: float = SLOW) -> str:
    """Give `data` to the target; what it raised beside a proper JanusError, as a traceback, else "".

    `most`: seconds of CPU; what takes longer is said, too.
    """
    started = time.process_time()
    try:
        target.run(data)
    except JanusError as error:
        try:
            _check_message(error)
        except AssertionError:
            return traceback.format_exc()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return traceback.format_exc()
    took = time.process_time() - started
    return f"slow: {took:.1f} s\n" if took > most else ""


def change_json(data: bytes, rng: random.Random) -> bytes:
    """Replace, remove or double one value in the JSON `data`. Raises ValueError where it is none."""
    whole = {"": json.loads(data)}
    places = list(_list_places(whole))
    holder, key = rng.choice(places)
    match rng.randrange(8):
        case 0 if isinstance(holder, dict) and holder is not whole:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[rng.choice(["x", "", "format", "model_type", "dtype", "text", "vocab"])] = holder[key]
        case 2 if isinstance(holder, list):
            holder.insert(rng.randrange(len(holder) + 1), holder[key])
        case 3:
            other, name = rng.choice(places)
            holder[key] = json.loads(json.dumps(other[name]))
        case 4 if type(holder[key]) is int:
            holder[key] += rng.choice([-1, 1, 1000, -1000])
        case _:
            holder[key] = rng.choice(NASTY)
    return json.dumps(whole[""], ensure_ascii=rng.random() < 0.9).encode("utf-8", "surrogatepass")


def _list_places(value: Any) -> Iterator[tuple[Any, Any]]:
    """List every place in a JSON value: what holds it, and its key there."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _list_places(inner)


def _keep_find(folder: Path, data: bytes, found: str) -> None:
    """Keep the input of a find that is new, by the error's type and the line of ours that it came through."""
    frames = re.findall(r'File "[^"]*?((?:janus_cli|bench)/[^"]+)", line (\d+)', found)
    kind = f"{found.strip().splitlines()[-1].split(':')[0]}-{frames[-1:]}"
    name = hashlib.sha1(kind.encode(), usedforsecurity=False).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / name).exists():
        (folder / name).write_bytes(data)
        (folder / f"{name}.txt").write_text(found, "utf-8", "backslashreplace")


def fuzz(name: str, seconds: int, out: Path) -> None:
    """Fuzz one target in this process; it ends with the time. Needs atheris."""
    import atheris

    place = out / name
    (place / "corpus").mkdir(parents=True, exist_ok=True)
    with atheris.instrument_imports(include=["janus_cli", "tarfile"]):
        target = TARGETS[name]
        for i, seed in enumerate(target.seeds()):
            (place / "corpus" / f"seed{i}").write_bytes(seed)
            try_input(target, seed)  # also imports what is to be watched

    def test(data: bytes) -> None:
        if found := try_input(target, data):
            _keep_find(place / "finds", data, found)

    def change(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if target.json and rng.random() < 0.7:
            try:
                for _ in range(rng.choice([1, 1, 1, 2, 4])):
                    data = change_json(data, rng)
                if len(data) <= most:
                    return data
            except (ValueError, RecursionError, LookupError):
                pass
        return atheris.Mutate(data[:most], most)

    flags = [f"-max_total_time={seconds}", f"-rss_limit_mb={LIMIT_MB}", "-timeout=30", "-print_final_stats=1"]
    flags += ["-max_len=20000", f"-artifact_prefix={place}/", str(place / "corpus")]
    atheris.Setup([sys.argv[0], *flags], test, custom_mutator=change)
    atheris.Fuzz()


def main() -> None:
    """Fuzz one target, or all in turn, each in a process of its own that is started again if it ends."""
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__)
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--seconds", type=int, default=600, help="for all of them together")
    parser.add_argument("--out", type=Path, default=Path("fuzz-out"))
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        fuzz(given.target, given.seconds, given.out)
        return
    names = list(TARGETS) if given.target == "all" else [given.target]
    given.out.mkdir(parents=True, exist_ok=True)
    for name in names:
        end = time.monotonic() + given.seconds / len(names)
        with (given.out / f"{name}.log").open("ab") as log:
            while (left := int(end - time.monotonic())) > 1:
                command = [
                    sys.executable,
                    "-m",
                    "bench.fuzz",
                    name,
                    "--here",
                    f"--seconds={left}",
                    f"--out={given.out}",
                ]
                subprocess.run(
                    command, stdout=log, stderr=log, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
                )
        finds = [path.name for path in (given.out / name / "finds").glob("*.txt")]
        print(f"{name}: {len(finds)} kinds of finds {' '.join(finds)}", flush=True)


if __name__ == "__main__":
    main()
