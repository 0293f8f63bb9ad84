"""`janus draw`: names, seeds, sizes, metadata, many prompts; the Python API behind it."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from janus_cli import pipeline
from janus_cli.errors import MediaError, ModelError, UsageError
from janus_cli.records import Record, Segment
from janus_cli.shell.names import fill, slug


def names() -> list[str]:
    return sorted(p.name for p in Path().iterdir())


def test_a_picture_is_named_after_its_prompt(janus):
    done = janus("draw", "a red apple")
    assert done.code == 0 and done.out == b""
    assert names() == ["a-red-apple.png"]
    assert "wrote a-red-apple.png" in done.err and "device cpu" in done.err
    assert "seed 0" in done.err and "tokens/s" in done.err


def test_the_same_seed_gives_the_same_file(janus):
    for name, seed in (("a.png", "7"), ("b.png", "7"), ("c.png", "8")):
        janus("draw", "a red apple", "--seed", seed, "-o", name)
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes() != Path("c.png").read_bytes()


def test_batches_change_no_pixel(janus):
    prompts = ["a", "a red apple", "two red apples"]
    for folder in ("alone", "together"):
        Path(folder).mkdir()
    janus("draw", *prompts, "-n", "2", "--batch-size", "1", "-o", "alone/{id}-{index}.png")
    janus("draw", *prompts, "-n", "2", "-o", "together/{id}-{index}.png")
    made = sorted(Path("alone").iterdir())
    assert len(made) == 6
    for path in made:
        assert path.read_bytes() == Path("together", path.name).read_bytes()


def test_several_pictures_do_not_overwrite_each_other(janus):
    for _ in range(2):
        janus("draw", "a red apple", "-n", "2", "-o", "{prompt}.png")
    assert names() == ["a-red-apple-1.png", "a-red-apple-2.png", "a-red-apple-3.png", "a-red-apple.png"]


def test_a_literal_name_is_a_promise(janus, monkeypatch):
    Path("apple.png").write_text("precious")
    with monkeypatch.context() as patch:
        patch.setattr("janus_cli.nets.build.build", lambda *_: 1 / 0)  # nothing is drawn for nothing
        done = janus("draw", "a red apple", "-o", "apple.png")
        assert done.code == 1 and "apple.png exists: use another name, --force" in done.err
        done = janus("draw", "a red apple", "-o", "apple.png", "--skip-existing")
        assert done.code == 0 and "1 picture passed over" in done.err
        for prompts in (["a", "-n", "2"], ["a", "b"], ["a", "--stdin", "-n", "2"]):
            done = janus("draw", *prompts, "-o", "new.png")
            assert done.code == 2 and "use a template such as {prompt}-{index}.png, or a folder/" in done.err
        assert janus("draw", "a", "-o", "apple.png", "--force", "--skip-existing").code == 2
    assert Path("apple.png").read_text() == "precious" and names() == ["apple.png"]
    assert janus("draw", "a red apple", "-o", "apple.png", "--force").code == 0
    assert names() == ["apple.png"] and Image.open("apple.png").size == (128, 128)


def test_template_fields(janus):
    Path("out").mkdir()
    janus("draw", "a red apple", "-n", "2", "--seed", "5", "-o", "out/{prompt}_{seed}_{index:03}_{id}.jpg")
    found = sorted(p.name for p in Path("out").iterdir())
    assert found == ["a-red-apple_5_000_0.jpg", "a-red-apple_6_001_0.jpg"]


def test_a_folder_takes_the_prompts_names(janus):
    janus("draw", "a red apple", "a green pear", "-o", "out/")
    assert sorted(p.name for p in Path("out").iterdir()) == ["a-green-pear.png", "a-red-apple.png"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a red apple", "a-red-apple"),
        ("../../etc/passwd", "etc-passwd"),
        ("りんご 🍎", "りんご"),
        ("🍎", ""),
        ("Äpfel & Birnen!", "Äpfel-Birnen"),
        ("x" * 500, "x" * 120),
        ("りんご" * 50, "りんご" * 13 + "り"),
    ],
)
def test_slug(text, name):
    assert slug(text) == name


def test_a_prompt_without_letters_still_has_a_name():
    record = Record((), "", ({"stage": "tokenize", "text": "🍎"},))
    assert fill("{prompt}.png", record, 3) == Path("3.png")


@pytest.mark.parametrize(
    ("args", "side"),
    [
        (["--size", "32"], 32),
        (["--size", "64"], 64),
        (["--size", "128"], 128),
        (["--scale", "2"], 64),
        ([], 128),
    ],
)
def test_sizes(janus, args, side):
    janus("draw", "a", *args, "-o", "a.png")
    assert Image.open("a.png").size == (side, side)


def test_standard_output(janus):
    assert Image.open(io.BytesIO(janus("draw", "a", "-o", "-").out)).format == "PNG"


def test_prompts_on_standard_input(janus):
    done = janus("draw", "a", "--stdin", "--json", stdin="a red apple\n\nりんご\n".encode())
    facts = [json.loads(line) for line in done.text.splitlines()]
    assert [f["prompt"] for f in facts] == ["a", "a red apple", "りんご"]
    assert [f["path"] for f in facts] == ["a.png", "a-red-apple.png", "りんご.png"]
    assert {f["device"] for f in facts} == {"cpu"}


def test_a_bad_line_is_counted_and_moves_no_seed(janus):
    janus("draw", "--stdin", "-o", "good/", stdin=b"a\nb\nc\n")
    done = janus("draw", "--stdin", "-o", "some/", stdin=b"a\n\xff\xfe\nc\n")
    assert done.code == 3 and "stdin: line 2: byte 0 is not UTF-8 text" in done.err
    assert sorted(p.name for p in Path("some").iterdir()) == ["a.png", "c.png"]
    for name in ("a.png", "c.png"):
        assert Path("good", name).read_bytes() == Path("some", name).read_bytes()


def test_what_cannot_be_drawn_is_said_before_drawing(janus):
    for arguments, complaint in (
        (["draw", "a", "-o", "a.txt"], "a.txt: no known format: use a name in .png"),
        (["draw", "a", ""], "an empty prompt"),
        (["draw", "a", "--scale", "3"], "--scale 3: choose 1, 2 or 4"),
        (["denoise", "--scale", "3"], "--scale 3: choose 1, 2 or 4"),
    ):
        done = janus(*arguments)
        assert done.code == 2 and complaint in done.err and names() == []


def test_a_prompt_that_is_too_long_is_not_repeated_whole(janus):
    done = janus("draw", "apple " * 3000)
    assert done.code == 2 and "too long" in done.err and len(done.err) < 300


def test_no_prompt_on_standard_input(janus):
    done = janus("draw", "--stdin", stdin=b"\n \n")
    assert done.code == 2 and "empty lines" in done.err


def test_the_picture_says_how_it_was_made(janus):
    janus("draw", "ein Äpfelchen", "--seed", "7", "--steps", "2", "-o", "a.png")
    facts = json.loads(janus("info", "--json", "a.png").text)
    assert (facts["prompt"], facts["seed"], facts["model"]) == ("ein Äpfelchen", 7, "pocket")
    assert [s["stage"] for s in facts["made_by"]] == ["tokenize", "generate", "denoise", "upsample"]
    assert facts["made_by"][2]["steps"] == 2
    janus("tokenize", "text", "ein Äpfelchen", "-o", "t.safetensors")
    janus("generate", "--seed", "7", "t.safetensors", "-o", "g.safetensors")
    from hashlib import sha256

    from safetensors.numpy import load_file

    assert facts["tokens"] == sha256(load_file("g.safetensors")["0.image"].tobytes()).hexdigest()


def test_python_api(tiny_model):
    draw = pipeline.load(str(tiny_model))
    sampling, picture = pipeline.Sampling(seed=7, n=2), pipeline.PictureOptions(scale=1)
    count: list[int] = []
    first, second = (draw.decode(r) for r in draw.draw(["a red apple"], sampling, picture, count.append))
    assert isinstance(first, np.ndarray) and first.shape == (32, 32, 3) and first.dtype == np.uint8
    assert not np.array_equal(first, second) and sum(count) == 32
    record = draw.pictures.encode(first, id="x")
    assert isinstance(draw.decode(record), np.ndarray)
    assert draw.decode(draw.tokenize("hello")) == "hello"


def test_the_pipeline_refuses_other_models_tokens(tiny_model):
    draw = pipeline.load(str(tiny_model))
    foreign = Segment("image", np.zeros((2, 2), np.uint16), {"tokenizer": "other", "fingerprint": "ab" * 32})
    for stage in (draw.refining.denoise, draw.refining.upsample):
        with pytest.raises(ModelError, match="of other .abab.*pocket has"):
            list(stage([Record((foreign,))]))
    with pytest.raises(ModelError, match="of other"):
        draw.decode(Record((foreign,)))


def test_the_pipeline_refuses_impossible_options(tiny_model):
    draw = pipeline.load(str(tiny_model))
    with pytest.raises(UsageError, match="--size 100: choose multiples of 8"):
        draw.draw(["a"], picture=pipeline.PictureOptions(size=pipeline.Size(100, 100)))
    with pytest.raises(UsageError, match="scale 3"):
        draw.draw(["a"], picture=pipeline.PictureOptions(scale=3))


def test_text_is_no_picture(janus):
    done = janus("decode", "-o", "a.png", stdin=janus("tokenize", "text", "a").out)
    assert done.code == 1 and "holds text" in done.err and names() == []


def test_a_picture_is_no_text():
    from janus_cli.shell.media_output import PictureOutput
    from janus_cli.shell.outputs import Outputs

    with pytest.raises(MediaError, match="holds a picture"):
        Outputs("a.txt").write(Record(()), PictureOutput(np.zeros((8, 8, 3), np.uint8)), Path("a.txt"))
