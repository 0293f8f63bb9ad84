"""Pictures through the commands: profiles, frames, what is left over, folders, where a record comes from."""

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from helpers import picture_files as make
from helpers.enlargers import build, save
from helpers.runs import no_traceback
from PIL import Image

from janus_cli.records import Record, read_stream

COLOUR = np.array([200, 60, 20])
P3 = make.icc_rgb(make.P3_COLORANTS, 1.8)
RIGHT = np.round(make.mix(make.P3_COLORANTS, (COLOUR / 255) ** 1.8)).astype(np.uint8)


def records(data: bytes) -> list[Record]:
    return list(read_stream(io.BytesIO(data)))


def in_p3(side: int = 16) -> bytes:
    return make.png(np.tile(COLOUR, (side, side, 1)), 8, 2, make.iccp(P3))


def plain(pixels: np.ndarray) -> bytes:
    return make.png(pixels, 8, 2)


SRGB = plain(np.tile(RIGHT, (16, 16, 1)))


def test_tokens_are_those_of_the_colours_that_are_meant(janus):
    tokens, right = (records(janus("tokenize", "image", stdin=data).out)[0] for data in (in_p3(), SRGB))
    assert np.array_equal(tokens.segments[0].data, right.segments[0].data)
    grey = make.png(np.full((16, 16), 1000), 16, 0, (b"tRNS", struct.pack(">H", 1000)))
    white = plain(np.full((16, 16, 3), 255))
    tokens, right = (records(janus("tokenize", "image", stdin=data).out)[0] for data in (grey, white))
    assert np.array_equal(tokens.segments[0].data, right.segments[0].data)


@pytest.mark.parametrize("wide", [False, True])
def test_upsample_reads_profiles_and_16_bits(janus, tmp_path, wide):
    save(build("compact"), tmp_path / "4x.safetensors")
    samples = np.tile(COLOUR * 257 if wide else COLOUR, (16, 16, 1))
    Path("a.png").write_bytes(make.png(samples, 16 if wide else 8, 2, make.iccp(P3)))
    Path("b.png").write_bytes(SRGB)
    for name in "ab":
        done = janus("upsample", f"{name}.png", "-m", str(tmp_path / "4x.safetensors"), "-o", f"{name}4.png")
        assert done.code == 0, done.err
    large = [np.asarray(Image.open(f"{name}4.png")).astype(int) for name in "ab"]
    assert np.abs(large[0] - large[1]).max() <= 3 and large[0].shape == (64, 64, 3)


def test_describe_reads_profiles_and_16_bits(janus, senses):
    Path("a.png").write_bytes(in_p3())
    Path("b.png").write_bytes(SRGB)
    Path("c.tif").write_bytes(make.tiff(np.tile(RIGHT.astype(int) * 257, (16, 16, 1)), 16, 2, order=">"))
    said = [janus("describe", name) for name in ("a.png", "b.png", "c.tif")]
    assert [done.code for done in said] == [0, 0, 0]
    assert said[0].text == said[1].text == said[2].text


def animation(count: int = 3) -> bytes:
    frames = [Image.new("RGB", (16, 8), (25 * i, 0, 0)) for i in range(count)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def test_frames_are_said_and_can_all_be_read(janus):
    Path("anim.gif").write_bytes(animation())
    done = janus("tokenize", "image", "anim.gif")
    assert [r.id for r in records(done.out)] == ["anim"]
    assert "janus: anim.gif: 3 frames, the first is read: --frames all reads each\n" in done.err
    assert "frames" not in janus("tokenize", "image", "anim.gif", "--quiet").err
    done = janus("tokenize", "image", "--frames", "all", "anim.gif", "-o", "out/")
    assert "frames" not in done.err
    assert sorted(p.name for p in Path("out").iterdir()) == [f"anim-{i}.safetensors" for i in (1, 2, 3)]
    made = [r.made_by[0]["source"] for r in records(Path("out/anim-2.safetensors").read_bytes())]
    assert made == ["anim.gif"]
    piped = janus("tokenize", "image", "--frames", "all", stdin=animation(10))
    assert [r.id for r in records(piped.out)][::9] == ["stdin-01", "stdin-10"]


def test_describe_and_upsample_say_that_there_are_frames(janus, senses, tmp_path):
    save(build("compact"), tmp_path / "4x.safetensors")
    Path("anim.gif").write_bytes(animation())
    for command in (
        ["describe"],
        ["upsample", "-o", "x.safetensors", "-m", str(tmp_path / "4x.safetensors")],
    ):
        done = janus(*command, "anim.gif")
        assert done.code == 0 and "janus: anim.gif: 3 frames, the first is read\n" in done.err
    assert json.loads(janus("info", "--json", "anim.gif").text)["frames"] == 3
    assert "picture 16x8, 3 frames" in janus("info", "anim.gif").text


def test_a_page_that_fails_leaves_the_others(janus):
    page = make.tiff_page(np.tile(COLOUR, (8, 8, 1)), 8, 2, at=8, next_page=True)
    wide = make.tiff_page(np.zeros((8, 8)), 32, 1, at=8 + len(page))
    Path("two.tif").write_bytes(b"II*\0\x08\0\0\0" + page + wide)
    done = janus("tokenize", "image", "--frames", "all", "two.tif")
    assert done.code == 3 and [r.id for r in records(done.out)] == ["two-1"]
    assert "two.tif, 2 of 2 pages: a TIFF picture (grey of 32 bits) is not read" in done.err


def test_joined_pictures_and_what_else_is_left_over(janus):
    Path("a.png").write_bytes(SRGB)
    Path("b.png").write_bytes(SRGB * 2)
    done = janus("tokenize", "image", "b.png", "a.png")
    assert done.code == 3 and [r.id for r in records(done.out)] == ["a"] and no_traceback(done)
    assert (
        f"b.png: a PNG picture follows the picture's end at byte {len(SRGB)}: make files of them" in done.err
    )
    piped = janus("tokenize", "image", stdin=SRGB * 2)
    assert piped.code == 1 and not piped.out and "stdin: a PNG picture follows" in piped.err
    done = janus("tokenize", "image", stdin=SRGB + b"more")
    assert done.code == 0 and "stdin: 4 bytes behind the picture's end are no part of it" in done.err


def test_info_knows_each_kind_of_picture(janus):
    for suffix in ("bmp", "tif", "qoi", "ico", "jp2", "avif", "ppm", "tga"):
        Image.new("RGBA" if suffix == "ico" else "RGB", (16, 16)).save(f"x.{suffix}")
        found = janus("info", "--json", f"x.{suffix}")
        assert found.code == 0, found.err
        assert json.loads(found.text) == {"kind": "picture", "file": f"x.{suffix}", "width": 16, "height": 16}


def test_a_record_tells_where_in_its_folder_it_comes_from(janus):
    for name in ("same/a.png", "same/sub/a.png", "same/sub/b c.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(SRGB)
    made = records(janus("tokenize", "image", "same", "same/sub/a.png").out)
    assert [(r.id, r.made_by[0]["source"]) for r in made] == [
        ("a", "a.png"),
        ("sub/a", "sub/a.png"),
        ("sub/b c", "sub/b c.png"),
        ("a", "a.png"),
    ]
    done = janus("tokenize", "image", str(Path("same").absolute()), "same/a.png", "-o", "out/")
    assert done.code == 0 and len(list(Path("out").iterdir())) == 4  # none lost
    assert str(Path.cwd()).encode() not in b"".join(p.read_bytes() for p in Path("out").iterdir())


def test_a_folder_reads_every_format_and_counts_the_rest(janus):
    Path("in").mkdir()
    for suffix in ("jfif", "avif", "jp2", "tga", "ico", "qoi", "dib", "pgm"):
        Image.new("RGBA" if suffix == "ico" else "RGB" if suffix != "pgm" else "L", (16, 16)).save(
            f"in/{suffix}.{suffix}",
            {"jfif": "JPEG", "dib": "BMP", "pgm": "PPM"}.get(
                suffix, suffix if suffix != "jp2" else "JPEG2000"
            ),
        )
    for name in ("a.txt", "b.TXT", "c.pdf", "noname", ".hidden.png"):
        Path("in", name).write_bytes(b"x")
    done = janus("tokenize", "image", "in")
    assert done.code == 0, done.err
    assert len(records(done.out)) == 8
    left = (
        "in: left out: 4 files that are no pictures (.txt 2, .pdf 1, no suffix 1), 1 hidden file or folder\n"
    )
    assert f"janus: {left}" in done.err
    assert "left out" not in janus("tokenize", "image", "in", "-q").err
    janus("tokenize", "text", "a", "-o", "in/a.safetensors")
    assert "left out: 12 files that are no token records" in janus("info", "in").err
