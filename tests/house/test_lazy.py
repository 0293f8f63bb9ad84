"""What starts fast stays fast: no torch, and no other slow library, where it is not needed."""

import sys

import numpy
import pytest

SLOW = {
    "torch",
    "PIL",
    "tokenizers",
    "rich",
    "soundfile",
    "encodec",
    "huggingface_hub",
    "safetensors.torch",
    "torch._dynamo",
    "transformers",
    "spandrel",
}

RUN = """
import sys
from janus_cli.app import main
code = main(sys.argv[2:])
loaded = sorted(set(sys.argv[1].split(",")) & set(sys.modules))
print("slow:", *loaded, file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def loaded(shell, environment):
    """The slow libraries that `janus ARGS` has imported when it ends."""
    (environment / "run.py").write_text(RUN)

    def run(args: str, stdin: bytes = b"", watched: set[str] = SLOW | {"numpy"}) -> set[str]:
        line = f'"$PYTHON" run.py {",".join(watched)} {args}'
        done = shell(line, stdin, {"PYTHON": sys.executable})
        assert done.code == 0, done.err
        return set(done.err.splitlines()[-1].split()[1:])

    return run


@pytest.mark.parametrize(
    "args",
    [
        "--help",
        "--version",
        "draw --help",
        "generate --help",
        "train --help",
        "describe --help",
        "speak --help",
        "transcribe --help",
        "upsample --help",
    ],
)
def test_help_imports_nothing_slow(loaded, args):
    assert loaded(args) == set()


def test_text_needs_no_torch(loaded, janus):
    assert loaded("tokenize text 'a red apple'") == {"numpy", "tokenizers"}
    tokens = janus("tokenize", "text", "a red apple").out
    assert loaded("decode", tokens) == {"numpy", "tokenizers"}


def test_info_needs_no_torch(loaded, janus):
    tokens = janus("tokenize", "text", "a red apple").out
    assert loaded("info", tokens) == {"numpy"}
    assert loaded("info pocket") == {"numpy"}
    assert loaded("models list") == {"numpy"}


def test_pictures_that_are_pixels_already_need_no_torch(loaded, janus):
    tokens = janus("denoise", stdin=janus("generate", stdin=janus("tokenize", "text", "a").out).out).out
    assert loaded("decode -o a.png", tokens) == {"numpy", "PIL"}
    assert loaded("info a.png") == {"numpy", "PIL"}


def test_plugins_are_loaded_when_they_are_used(loaded, janus):
    assert loaded("tokenize --help") == set()
    made = janus("tokenize", "series", stdin=b"1\n2\n").out
    assert loaded("tokenize series", b"1\n2\n") == {"numpy"}
    assert loaded("info", made) == {"numpy"}
    assert loaded("decode", made) == {"numpy"}


def test_sounds_that_are_samples_already_need_no_torch(loaded, environment):
    from janus_cli.records import Record, Segment, dumps

    sound = Segment("waveform", numpy.zeros((1, 800), numpy.float32), {"sample_rate": 8000})
    assert loaded("decode -o a.wav", dumps(Record((sound,)))) == {"numpy"}
    assert loaded("info a.wav") == {"numpy", "soundfile"}
    assert loaded("tokenize audio --help") == set()


def test_a_picture_is_drawn_without_torchs_compiler(loaded):
    """Its import takes as long as that of torch itself; arithmetic on the meta device is enough for it."""
    assert "torch._dynamo" not in loaded('draw "a red apple" -o apple.png')


def test_nets_are_loaded_without_what_torch_has_for_compilers(loaded, janus):
    """sympy and torch._dynamo come with some operations on the meta device, for a second and more."""
    tokens = janus("generate", stdin=janus("tokenize", "text", "a").out).out
    needless = {"sympy", "torch._dynamo"}
    for line, data in (
        ("generate", janus("tokenize", "text", "a").out),
        ("denoise", tokens),
        ("upsample", tokens),
        ("decode -o a.png", tokens),
    ):
        found = loaded(line, data, needless | {"torch"})
        assert found == {"torch"}, line
