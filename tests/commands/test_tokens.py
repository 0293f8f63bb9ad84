"""`janus tokenize`, `generate`, `denoise`, `upsample`, `decode`: what goes in and out, and where."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from helpers.runs import records
from PIL import Image
from safetensors.numpy import load_file

from janus_cli.records import Record, Segment, dumps


def saved(path: str) -> list[Record]:
    return records(Path(path).read_bytes())


def picture(path: str, size: tuple[int, int] = (24, 16)) -> str:
    pixels = np.random.default_rng(len(path)).integers(0, 255, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_each_argument_is_a_record(janus):
    made = records(janus("tokenize", "text", "a red apple", "ein Äpfelchen 🍎").out)
    assert [r.prompt for r in made] == ["a red apple", "ein Äpfelchen 🍎"]
    assert [r.id for r in made] == ["0", "1"]
    assert made[0].segments[0].info["tokenizer"] == "pocket"


@pytest.mark.parametrize("args", [(), ("-",)])
def test_standard_input_is_one_text(janus, args):
    [record] = records(janus("tokenize", "text", *args, stdin=b"two\nlines\n").out)
    assert record.prompt == "two\nlines"


def test_lines_of_standard_input(janus):
    made = records(janus("tokenize", "text", "--lines", stdin=b"one\ntwo\nthree").out)
    assert [r.prompt for r in made] == ["one", "two", "three"]


def test_text_comes_back_byte_for_byte(janus):
    text = "Ünï©ode 🍎\tend\r\n\n"
    tokens = janus("tokenize", "text", stdin=text.encode()).out
    assert janus("decode", stdin=tokens).text == text


def test_text_goes_to_a_file(janus):
    tokens = janus("tokenize", "text", "a red apple").out
    assert janus("decode", "-o", "out.txt", stdin=tokens).code == 0
    assert Path("out.txt").read_text() == "a red apple\n"


def test_any_tokenizer_file_can_be_used(janus, tiny_model):
    Path("mine.json").write_bytes((tiny_model / "tokenizer.json").read_bytes())
    done = janus("tokenize", "text", "--tokenizer", "mine.json", "a red apple")
    [record] = records(done.out)
    assert record.segments[0].info["tokenizer"] == "mine"
    assert janus("decode", "--tokenizer", "mine.json", stdin=done.out).text == "a red apple\n"


def test_no_prompt_is_too_long_to_tokenize(janus):
    [record] = records(janus("tokenize", "text", stdin=b"word " * 100_000).out)
    assert record.segments[0].data.size > 100_000
    assert record.prompt == ""  # too long a text is not repeated in made_by


def test_pictures_keep_their_size(janus):
    tokens = janus("tokenize", "image", picture("cat.png", (19, 30))).out
    [record] = records(tokens)
    assert record.id == "cat" and record.segments[0].data.shape == (3, 4)
    janus("decode", "-o", "again.png", stdin=tokens)
    assert Image.open("again.png").size == (30, 19)
    janus("decode", "-o", "large.png", stdin=janus("upsample", stdin=tokens).out)
    assert Image.open("large.png").size == (120, 76)


def test_picture_on_standard_input(janus):
    data = Path(picture("cat.png")).read_bytes()
    assert records(janus("tokenize", "image", "-", stdin=data).out)[0].id == "stdin"
    assert janus("tokenize", "image", stdin=data).out == janus("tokenize", "image", "-", stdin=data).out


def test_folder_of_pictures(janus):
    Path("in/deep").mkdir(parents=True)
    for name in ("in/b.png", "in/a.jpg", "in/deep/c.webp"):
        picture(name)
    Path("in/notes.txt").write_text("no picture")
    done = janus("tokenize", "image", "in")
    assert [r.id for r in records(done.out)] == ["a", "b", "deep/c"]
    assert "in: left out: 1 file that is no picture (.txt 1)" in done.err


def test_a_one_record_file_is_an_ordinary_safetensors_file(janus):
    janus("tokenize", "text", "a red apple", "-o", "a.safetensors")
    assert list(load_file("a.safetensors")) == ["0.text"]
    janus("generate", "a.safetensors", "-o", "g.safetensors")
    assert load_file("g.safetensors")["0.image"].shape == (4, 4)


def test_a_redirected_file_has_no_end_record(shell):
    assert shell("janus tokenize text a b > two.safetensors").code == 0
    assert shell("cat two.safetensors two.safetensors | janus info --json | wc -l").text.strip() == "4"
    assert b'"end"' not in Path("two.safetensors").read_bytes()


def test_a_fifo_gets_a_numbered_stream(shell):
    done = shell("mkfifo f; janus info --json f & janus tokenize text a b -o f; wait $!")
    assert done.code == 0 and len(done.text.splitlines()) == 2
    assert Path("f").is_fifo()


def test_folder_of_records(janus):
    assert janus("tokenize", "text", "a", "b", "-o", "out/").code == 0
    assert sorted(p.name for p in Path("out").iterdir()) == ["0.safetensors", "1.safetensors"]
    done = janus("generate", "out", "-n", "2", "-o", "more/")
    assert done.code == 0
    assert sorted(p.name for p in Path("more").iterdir()) == [
        "0-1.safetensors",
        "0.safetensors",
        "1-1.safetensors",
        "1.safetensors",
    ]


def test_webdataset_shards(janus, monkeypatch):
    from janus_cli.shell import sinks

    monkeypatch.setattr(sinks, "SHARD_SIZE", 2)
    assert janus("tokenize", "text", "a", "b", "c", "-o", "shard-%06d.tar").code == 0
    with tarfile.open("shard-000000.tar") as tar:
        assert tar.getnames() == ["0.safetensors", "1.safetensors"]
    texts = [
        json.loads(line)["made_by"][0]["text"]
        for line in janus("info", "--json", "shard-000000.tar", "shard-000001.tar").text.splitlines()
    ]
    assert texts == ["a", "b", "c"]
    first = Path("shard-000000.tar").read_bytes()
    janus("tokenize", "text", "a", "b", "c", "-o", "shard-%06d.tar", "--force")
    assert Path("shard-000000.tar").read_bytes() == first


def test_join_makes_one_prompt(janus):
    tokens = janus("tokenize", "image", picture("cat.png")).out + janus("tokenize", "text", "again").out
    apart = records(janus("generate", stdin=tokens).out)
    [joined] = records(janus("generate", "--join", stdin=tokens).out)
    assert len(apart) == 2 and joined.prompt == "again"
    assert joined.made_by[0]["modality"] == "image" and joined.made_by[-1]["stage"] == "generate"


def test_batches_change_no_token(janus):
    prompts = janus("tokenize", "text", "a", "a red apple", "two red apples").out
    alone, together = (
        janus("generate", "-n", "3", "--batch-size", size, stdin=prompts).out for size in ("1", "8")
    )
    assert alone == together and len(records(alone)) == 9


def test_sampling_options_reach_the_record(janus):
    tokens = janus("tokenize", "text", "a").out
    options = ("--seed", "3", "--cfg-scale", "2", "--temperature", "0.5", "--top-k", "9", "--top-p", "0.5")
    [record] = records(janus("generate", *options, stdin=tokens).out)
    step = record.made_by[-1]
    assert {k: step[k] for k in ("seed", "cfg_scale", "temperature", "top_k", "top_p")} == {
        "seed": 3,
        "cfg_scale": 2.0,
        "temperature": 0.5,
        "top_k": 9,
        "top_p": 0.5,
    }


def test_a_seed_is_said_and_repeats(janus):
    tokens = janus("tokenize", "text", "a red apple").out
    first, second, other = (janus("generate", "--seed", s, stdin=tokens) for s in ("7", "7", "8"))
    assert first.out == second.out != other.out
    assert "seed 7" in first.err and "tokens/s" in first.err and "device cpu" in first.err


def test_quiet_says_nothing(janus):
    tokens = janus("tokenize", "text", "a").out
    assert janus("generate", "-q", stdin=tokens).err == ""


def test_only_the_last_part_of_a_progressive_record_is_used(janus):
    from janus_cli.records import Part

    [whole] = records(janus("generate", stdin=janus("tokenize", "text", "a").out).out)
    segment = whole.segments[0]
    top = Segment("image", segment.data[:2], segment.info)
    parts = [
        Record((top,), whole.id, whole.made_by, Part(0, False, (0, 2))),
        Record((segment,), whole.id, whole.made_by, Part(1, True, (0, 4))),
    ]
    stream = b"".join(map(dumps, parts))
    assert janus("decode", stdin=stream).out == janus("decode", stdin=dumps(whole)).out


def test_steps_and_scale(janus):
    tokens = janus("generate", stdin=janus("tokenize", "text", "a").out).out
    raw = janus("decode", stdin=tokens).out
    plain = janus("decode", stdin=janus("denoise", "--steps", "0", stdin=tokens).out).out
    sharp = janus("denoise", stdin=tokens).out
    assert np.array_equal(Image.open(io.BytesIO(raw)), Image.open(io.BytesIO(plain)))
    grain = [janus("denoise", "--noise", "1", "--seed", seed, stdin=tokens).out for seed in ("1", "2", "1")]
    assert grain[0] == grain[2] != grain[1] != sharp
    for scale in (1, 2, 4):
        large = janus("decode", stdin=janus("upsample", "--scale", str(scale), stdin=sharp).out).out
        assert Image.open(io.BytesIO(large)).size == (32 * scale, 32 * scale)


@pytest.mark.parametrize(("name", "format"), [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.WEBP", "WEBP")])
def test_the_suffix_is_the_format(janus, name, format):
    tokens = janus("generate", stdin=janus("tokenize", "text", "a red apple").out).out
    assert janus("decode", "-o", name, stdin=tokens).code == 0
    assert Image.open(name).format == format
    assert json.loads(janus("info", "--json", name).text)["prompt"] == "a red apple"


def test_model_is_taken_from_the_record(janus, zoo_folder, tiny_model):
    tokens = janus("generate", "-m", str(tiny_model), stdin=janus("tokenize", "text", "a").out).out
    assert records(tokens)[0].segments[0].info["tokenizer"] == "pocket"
    assert janus("denoise", stdin=tokens).code == 0


@pytest.mark.slow
def test_the_pipe_of_the_readme(shell):
    """Five processes; the picture is that of one process, byte for byte."""
    line = (
        "janus tokenize text 'a red apple' | janus generate --seed 7 | janus denoise | janus upsample "
        "| janus decode -o piped.png && janus draw 'a red apple' --seed 7 -o drawn.png"
    )
    assert shell(line).code == 0
    assert Path("piped.png").read_bytes() == Path("drawn.png").read_bytes()
