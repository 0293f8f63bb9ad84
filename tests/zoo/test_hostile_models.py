"""Model folders from strangers: refused by config.json and headers, before memory is taken."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import costs
from helpers.models import build_tiny_model
from helpers.runs import no_traceback

from bench.make_checkpoint import make
from janus_cli import weights, zoo
from janus_cli.config import MAX_JSON, read_config, read_object
from janus_cli.errors import ModelError
from janus_cli.media.tensor_header import LENGTH
from janus_cli.stages import text as texts
from janus_cli.zoo import weight_files

POCKET = Path(__file__).parent.parent.parent / "models" / "pocket" / "config.json"
HUGE = (1 << 30, 1 << 62, 10**30, 100_000_000)


@pytest.fixture
def tiny(environment):
    return build_tiny_model(environment / "odd", senses=True)


def put(folder: Path, place: str, value: object) -> Path:
    """Put a value into the folder's config.json."""
    config = json.loads((folder / "config.json").read_text())
    path = tuple(int(key) if key.isdigit() else key for key in place.split("."))
    (folder / "config.json").write_text(json.dumps(costs.change(config, path, value)))
    return folder


def list_numbers() -> list[str]:
    """The places of all numbers in pocket's config.json."""
    config = json.loads(POCKET.read_text())
    found = []
    for path in costs.list_places(config):
        value = config
        for key in path:
            value = value[key]
        if type(value) in (int, float):
            found.append(".".join(map(str, path)))
    return found


@pytest.mark.parametrize("place", list_numbers())
def test_no_number_of_a_configuration_may_be_anything(tmp_path, place):
    shutil.copyfile(POCKET, tmp_path / "config.json")
    read_config(tmp_path / "config.json")
    for value in (-1, None, "8", [], True, *HUGE, float("nan"), float("inf")):
        if value in HUGE and place.partition(".")[2] in FLOATS:
            continue
        with pytest.raises(ModelError) as error:
            read_config(put(tmp_path, place, value) / "config.json")
        assert str(error.value).startswith(str(tmp_path / "config.json")) and len(str(error.value)) < 400


FLOATS = ("rope_base", "norm_eps", "cfg_scale", "temperature", "speech_temperature")


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        ("decoder.dim", 1 << 30, "config.json.decoder.dim: expected int <= 1048576, found 1073741824"),
        ("decoder.n_layer", 10_000_000, "config.json.decoder.n_layer: expected int <= 128, found 10000000"),
        ("decoder.n_head", -1, "config.json.decoder.n_head: expected int >= 1, found -1"),
        ("decoder.max_seq_len", 1 << 40, "decoder.max_seq_len: expected int <= 1048576, found 1099511627776"),
        ("decoder.max_seq_len", 1 << 20, "decoder.max_seq_len: 1048576 is too large"),
        ("decoder.n_layer", 100, "decoder.n_layer: 100, but the tensors of its weights count"),
        ("decoder.dim", 1 << 20, "has shape [32], the model needs [1048576]"),
        ("decoder.n_head", 3, "the model needs"),
        ("decoder.n_kv_head", 3, "n_head must be a multiple of n_kv_head"),
        ("decoder.head_dim", 7, "head_dim must be even"),
        ("decoder.modalities.image.vocab_size", 64, "but dvae.codebook_size differs"),
        ("decoder.modalities.audio.n_q", 99, "too much for 32 codes"),
        ("decoder.modalities.audio.n_q", 3, "the codec has 2 of 32"),
        ("decoder.modalities.text.vocab_size", 9, "the model needs [9]"),
        ("decoder.modalities", {}, "it has no modalities"),
        ("decoder.modalities.a/b", {"vocab_size": 3}, "decoder"),
        ("decoder.modalities.keys", {"vocab_size": 3}, "decoder"),
        ("generation.grid", [255, 255], "too long"),
        ("generation.upsample", 3, "does not know 3"),
        ("dvae.n_block", 60, "config.json.dvae.n_block: 60, but the tensors of its weights count"),
        ("name", "", "expected str of length >= 1"),
        ("name", "\ud800", "surrogates not allowed"),
    ],
)
def test_draw_says_what_is_wrong(janus, tiny, place, value, says):
    done = janus("draw", "a", "-q", "-o", "a.png", "--model", str(put(tiny, place, value)))
    assert (
        done.code == (2 if place == "generation.grid" else 1)
        and no_traceback(done)
        and done.err.count("\n") == 1
        and says in done.err
    )
    checked = janus("models", "verify", str(tiny))
    assert checked.code in (1, 3) and no_traceback(checked) and says in checked.err
    for command in (["models", "show"], ["info"]):  # which may not see it, but say it in a line if they do
        done = janus(*command, str(tiny))
        assert done.code in (0, 1) and no_traceback(done) and done.err.count("\n") <= 1


def test_a_tokenizer_with_ids_that_no_table_has(janus, tiny):
    file = tiny / "tokenizer.json"
    data = json.loads(file.read_text("utf-8"))
    vocab = data["model"]["vocab"]
    last = max(vocab, key=vocab.get)
    for id in (5000, 2**31, 2**32 - 1):
        vocab[last] = id
        file.write_text(json.dumps(data), "utf-8")
        done = janus("draw", "a", "-q", "-o", "a.png", "--model", str(tiny))
        assert done.code == 1 and f"its ids go up to {id:,}, but the decoder's table has" in done.err
        checked = janus("models", "verify", str(tiny))
        assert checked.code == 3 and f"its ids go up to {id:,}" in checked.err


HOSTILE_TOKENIZERS = {
    "nested": b"[" * 5000,
    "nested objects": b'{"a":' * 5000,
    "no object": b"3",
    "a panic of the library": json.dumps(
        {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"],
                   "continuing_subword_prefix": "a" * 300}}
    ).encode(),
}  # fmt: skip


@pytest.mark.parametrize("data", HOSTILE_TOKENIZERS.values(), ids=HOSTILE_TOKENIZERS)
def test_a_hostile_tokenizer_is_one_line(tmp_path, capfd, data):
    (tmp_path / "tokenizer.json").write_bytes(data)
    with pytest.raises(ModelError, match=r"tokenizer\.json: not a tokenizer\.json") as error:
        texts.TextTokenizer(tmp_path / "tokenizer.json", "a")
    assert "\n" not in str(error.value) and capfd.readouterr() == ("", "")


def test_large_files_are_not_read(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_bytes(b"{}" + b" " * MAX_JSON)
    with pytest.raises(ModelError, match="more than the 4,194,304 bytes"):
        read_object(tmp_path / "config.json")
    monkeypatch.setattr(texts, "MAX_FILE", 10)
    (tmp_path / "tokenizer.json").write_bytes(b" " * 11)
    with pytest.raises(ModelError, match="more than 10 bytes"):
        texts.TextTokenizer(tmp_path / "tokenizer.json", "a")
    header = b"{}".ljust(MAX_JSON + 8)
    (tmp_path / "w.safetensors").write_bytes(LENGTH.pack(len(header)) + header)
    with pytest.raises(ModelError, match="a header of 4,194,312 bytes; at most 4,194,304 are read"):
        zoo.read_header(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 100_000, '{"name": 1e400}', "{" + '"a": 1, "a": 2}', '{"name": ' + "9" * 5000],
)
def test_hostile_json_is_one_line(janus, environment, text):
    (environment / "odd").mkdir()
    (environment / "odd" / "config.json").write_text(text)
    for command in (["draw", "a", "-m", "odd"], ["models", "verify", "odd"], ["info", "odd"]):
        done = janus(*command)
        assert done.code in (1, 3) and no_traceback(done) and "config.json" in done.err
        assert len(done.err) < 400


@pytest.mark.parametrize(
    "names",
    [
        {"a": "../a.safetensors"},
        {"a": "/etc/passwd"},
        {"a": ".."},
        {"a": ""},
        {"a": "b" * 300},
        {"a": "\0"},
        {"a": "\ud800"},
        {"a": 3},
        [],
        {"a": "absent.safetensors"},
    ],
)
def test_an_index_stays_in_its_folder(tmp_path, names):
    (tmp_path / "m").mkdir()
    shutil.copyfile(Path(__file__), tmp_path / "a.safetensors")
    (tmp_path / "m" / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    with pytest.raises(ModelError, match=r"not an index of shards|: missing, but|surrogates"):
        weight_files.read_tensors(tmp_path / "m", zoo.read_header)


PUBLISHED = [
    ("original", "language_config.num_hidden_layers", 100, "n_layer: 100, but the tensors of"),
    ("original", "language_config.num_hidden_layers", 10**7, "expected int <= 128"),
    ("original", "vision_config.params.layers", 100, "n_layer: 100, but the tensors of"),
    ("original", "language_config.hidden_size", 1 << 20, "is too large"),
    (
        "original",
        "language_config.max_position_embeddings",
        1 << 20,
        "max_position_embeddings 1048576 is too",
    ),
    ("original", "language_config.vocab_size", 64, "its ids go up to"),
    ("original", "gen_vision_config.params.num_res_blocks", 64, "n_block: 64, but the tensors of"),
    ("transformers", "text_config.num_hidden_layers", 100, "n_layer: 100, but the tensors of"),
    ("transformers", "vision_config.image_size", 1 << 20, "config.json asks for"),
    ("transformers", "vq_config.num_embeddings", 1 << 20, "config.json asks for"),
    ("transformers", "vision_config.hidden_size", 1 << 62, "expected int <= 1048576"),
]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    root = tmp_path_factory.mktemp("published")
    return {layout: make(root / layout, layout=layout) for layout in ("original", "transformers")}


@pytest.mark.parametrize(("layout", "place", "value", "says"), PUBLISHED)
def test_published_layouts(janus, environment, published, layout, place, value, says):
    folder = put(Path(shutil.copytree(published[layout], environment / "odd")), place, value)
    done = janus("draw", "a", "-q", "-o", "a.png", "--model", str(folder))
    assert done.code == 1 and no_traceback(done) and done.err.count("\n") == 1
    checked = janus("models", "verify", str(folder))
    assert checked.code in (1, 3) and no_traceback(checked) and says in checked.err


def test_a_component_that_no_net_can_have(tiny):
    """What passes every rule of ours, and torch's constructors still refuse."""
    put(tiny, "decoder.modalities", {"text": {"vocab_size": 300}, "training": {"vocab_size": 3}})
    with pytest.raises(ModelError, match=r"config\.json\.decoder: there is no net of these sizes"):
        weights.load_component(zoo.find(str(tiny)), "decoder", lambda: "cpu")


@pytest.mark.slow
def test_a_hostile_folder_costs_little(tmp_path):
    """At most 200 MB and a second of CPU more than the model as it is, if a number is as large as may be."""
    folder = build_tiny_model(tmp_path / "odd", senses=True)
    command = [sys.executable, costs.__file__, str(folder), "draw", "127", "--only", "decoder."]
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root, env=None)
    usual, *odd = map(json.loads, done.stdout.splitlines())
    assert usual["code"] == 0 and len(odd) > 25
    for found in odd:
        assert found["code"] in (0, 1) and found["lines"] <= 1, found
        assert found["mb"] <= usual["mb"] + 200 and found["seconds"] <= usual["seconds"] + 1, found
