"""`janus upsample --model CHECKPOINT`: pictures and records in, pictures and records out; what is refused."""

import io
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.enlargers import Evil, build, picture, save, tensors
from helpers.runs import no_traceback
from PIL import Image

from janus_cli.media.pictures import image_bytes, read_image_metadata
from janus_cli.nets.super_resolution import Enlarger
from janus_cli.records import loads
from janus_cli.stages.super_resolution import Picture, SuperResolution


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> Path:
    """A folder with 4x.safetensors, 4x.pth (the same net) and 3x.pth."""
    folder = tmp_path_factory.mktemp("checkpoints")
    save(build("compact"), folder / "4x.safetensors")
    save(build("compact"), folder / "4x.pth", key="params_ema")
    save(build("compact", upscale=3), folder / "3x.pth")
    return folder


@pytest.fixture
def up(janus, checkpoints):
    """Run `janus upsample ARGS` with 4x.safetensors."""
    return lambda *args, stdin=b"": janus(
        "upsample", *args, "-m", str(checkpoints / "4x.safetensors"), stdin=stdin
    )


@pytest.fixture(scope="module")
def large():
    """What the net makes of a picture."""
    work = SuperResolution(Enlarger.from_state(tensors(build("compact")), "x"))
    return lambda image: work.enlarge(Picture.from_file(image, "")).whole()


def opened(path: str) -> np.ndarray:
    return np.asarray(Image.open(path))


# ---- pictures and records


def test_a_picture_to_a_picture(up, large):
    image = picture(21, 37)
    Image.fromarray(image).save("photo.png")
    done = up("photo.png", "-o", "photo-x4.png")
    assert done.code == 0 and not done.out and no_traceback(done)
    assert "RealESRGAN Compact x4, device cpu, fp32, tiles of 256 px" in done.err
    assert np.array_equal(opened("photo-x4.png"), large(image))
    assert '"model": "4x.safetensors"' in read_image_metadata(Path("photo-x4.png"))["janus"]
    before = Path("photo-x4.png").read_bytes()
    assert "photo-x4.png exists: use another name" in up("photo.png", "-o", "photo-x4.png").err
    assert up("photo.png", "-o", "photo-x4.png", "--skip-existing").code == 0
    assert "wrote photo-x4-1.png" in up("photo.png", "-o", "{id}-x4.png").err
    assert Path("photo-x4-1.png").read_bytes() == before == Path("photo-x4.png").read_bytes()
    assert up("photo.png", "-o", "photo-x4.png", "--force", "--quiet", "--tile", "0").err == ""
    assert not list(Path().glob("*-2.png")) and not list(Path().glob(".janus*"))


def test_a_picture_through_records(up, janus, large):
    image = picture(21, 37)
    Image.fromarray(image).save("photo.png")
    piped = up(stdin=Path("photo.png").read_bytes()).out
    record = loads(up("photo.png", "-o", "a.safetensors") and Path("a.safetensors").read_bytes())
    pixels = record.find("pixels")
    assert pixels.data.shape == (3, 5, 32, 32, 3) and pixels.info == {"patch": 32, "size": [84, 148]}
    assert record.id == "photo" and record.made_by[-1]["scale"] == 4
    for data in (piped, Path("a.safetensors").read_bytes()):
        assert janus("decode", "-o", "b.png", "--force", stdin=data).code == 0
        assert np.array_equal(opened("b.png"), large(image))


@pytest.mark.parametrize(("name", "format"), [("a.jpg", "jpeg"), ("a.webp", "webp")])
def test_other_formats_and_modes(up, large, name, format):
    Image.fromarray(picture(9, 16)).convert("L").save("grey.png")
    assert up("grey.png", "-o", name).code == 0
    due = io.BytesIO(image_bytes(large(np.asarray(Image.open("grey.png").convert("RGB"))), format))
    assert np.array_equal(opened(name), np.asarray(Image.open(due)))


def test_records_go_on(up, janus, large):
    tokens = janus("generate", stdin=janus("tokenize", "text", "a").out).out
    sharp = janus("denoise", stdin=tokens).out
    for data in (sharp, tokens):  # with pixels, and with tokens alone
        assert janus("decode", "-o", "small.png", "--force", stdin=data).code == 0
        small = opened("small.png")
        out = up(stdin=data).out
        assert janus("decode", "-o", "large.png", "--force", stdin=out).code == 0
        assert np.array_equal(opened("large.png"), large(small))
        assert up("-", "-o", "direct.png", "-f", stdin=data).code == 0
        assert np.array_equal(opened("direct.png"), large(small))
        told = janus("info", "--json", stdin=out).text
        assert '"image"' in told and '"pixels"' in told


def test_a_padded_record_is_cut_before_it_is_enlarged(up, janus, large):
    Image.fromarray(picture(21, 37)).save("photo.png")
    tokens = janus("tokenize", "image", "photo.png").out
    assert janus("decode", "-o", "small.png", stdin=tokens).code == 0
    out = up(stdin=tokens).out
    assert janus("decode", "-o", "large.png", stdin=out).code == 0
    assert np.array_equal(opened("large.png"), large(opened("small.png")))


def test_folders_and_templates(up):
    Path("in").mkdir()
    for i in range(2):
        Image.fromarray(picture(8, 8, i)).save(f"in/{i}.png")
    assert up("in/0.png", "-o", "in/2.safetensors").code == 0
    assert up("in", "-o", "out/").code == 0
    assert sorted(p.stem for p in Path("out").iterdir()) == ["0", "0-1", "1"]
    assert up("in", "-o", "big/{id}-{index}.png").code != 0, "only a folder that ends in a slash is made"
    Path("big").mkdir()
    assert up("in", "-o", "big/{id}-{index}.png").code == 0
    assert sorted(p.name for p in Path("big").iterdir()) == ["0-0.png", "0-2.png", "1-1.png"]
    assert Image.open("big/0-2.png").size == (128, 128)


def test_its_own_scale(janus, checkpoints):
    Image.fromarray(picture(8, 9)).save("a.png")
    for scale in ([], ["--scale", "3"]):
        assert (
            janus("upsample", "a.png", "-m", str(checkpoints / "3x.pth"), *scale, "-o", "{id}-b.png").code
            == 0
        )
    assert Image.open("a-b-1.png").size == (27, 24)


def test_both_files_hold_the_same_net(up, janus, checkpoints):
    Image.fromarray(picture(8, 9)).save("a.png")
    out = janus("upsample", "a.png", "-m", str(checkpoints / "4x.pth")).out
    assert janus("decode", "-o", "b.png", stdin=out).code == 0 and up("a.png", "-o", "c.png").code == 0
    assert np.array_equal(opened("b.png"), opened("c.png"))


# ---- usage


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--scale", "2"], "enlarges 4 times and nothing else"),
        (["-o", "{colour}.png"], "unknown field {colour}"),
        (["--tile", "-1"], "--tile"),
        (["--device", "mps"], "no mps device"),
    ],
)
def test_wrong_usage(up, args, says):
    Image.fromarray(picture(8, 9)).save("a.png")
    done = up("a.png", *args)
    assert done.code == 2 and says in done.err and no_traceback(done)
    assert sorted(p.name for p in Path().iterdir() if p.suffix != ".stdin") == ["a.png"]


def test_tiles_and_scales_of_our_own_models(janus):
    assert "--tile goes with --model FILE" in janus("upsample", "--tile", "96").err
    done = janus("upsample", "--scale", "3")
    assert done.code == 2 and "--scale 3: choose 1, 2 or 4" in done.err


def test_one_bad_picture_among_many(up):
    Image.fromarray(picture(8, 9)).save("a.png")
    Path("b.png").write_text("no picture")
    done = up("a.png", "b.png", "c.png", "-o", "{id}-x4.png")
    assert done.code == 3 and "b.png: not a picture" in done.err and "c.png: No such file" in done.err
    assert "2 of 3 items failed; the rest is done" in done.err and Path("a-x4.png").is_file()


@pytest.mark.parametrize("data", [b"", b"hello, world, this is text"])
def test_nothing_to_enlarge(up, data):
    done = up(stdin=data)
    assert done.code == 1 and "stdin: " in done.err and no_traceback(done) and not done.out


def test_text_is_no_picture(up, janus):
    done = up(stdin=janus("tokenize", "text", "a").out)
    assert done.code == 1 and "neither pixels nor image tokens to enlarge" in done.err


# ---- checkpoints that are none


def cut(path: Path) -> bytes:
    return path.read_bytes()[:-200]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("page.pth", b"<!DOCTYPE html><html>not found</html>", "a web page, not a checkpoint"),
        ("page.safetensors", b"\n <html></html>", "a web page, not a checkpoint"),
        (
            "pointer.pth",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "a pointer of git-lfs",
        ),
        ("empty.pth", b"", "empty"),
        ("text.pth", b"hello, this is text", "neither safetensors nor a file of torch.save"),
        ("zip.pth", b"PK\3\4" + b"\0" * 60, "not a readable weight file"),
        ("missing.pth", None, "No such file"),
    ],
)
def test_no_checkpoint(janus, name, data, says):
    Image.fromarray(picture(8, 9)).save("a.png")
    if data is not None:
        Path(name).write_bytes(data)
    done = janus("upsample", "a.png", "-m", name, "-o", "b.png")
    assert done.code == 1 and f"{name}: " in done.err and says in done.err and no_traceback(done)
    assert len(done.err.splitlines()) == 1 and not Path("b.png").exists()


@pytest.mark.parametrize("name", ["4x.pth", "4x.safetensors"])
def test_a_truncated_checkpoint(janus, checkpoints, name):
    Path(name).write_bytes(cut(checkpoints / name))
    done = janus("upsample", "-m", name, stdin=b"x")
    assert done.code == 1 and "truncated" in done.err and no_traceback(done)


def test_weights_of_something_else(janus, tiny_model):
    done = janus("upsample", "-m", str(tiny_model / "dvae.safetensors"), stdin=b"x")
    assert done.code == 1 and "no super-resolution checkpoint of an architecture that spandrel" in done.err


@pytest.mark.parametrize(
    "write",
    [
        lambda path: torch.save({"params": Evil()}, path),
        lambda path: torch.save({"params": Evil()}, path, _use_new_zipfile_serialization=False),
        lambda path: path.write_bytes(pickle.dumps(Evil(), 2)),
        lambda path: path.write_bytes(pickle.dumps(Evil())),
    ],
    ids=["zip", "legacy", "bare", "newest"],
)
def test_code_in_a_checkpoint_is_refused_and_not_run(janus, write):
    write(Path("evil.pth"))
    done = janus("upsample", "-m", "evil.pth", stdin=b"x")
    assert done.code == 1 and "evil.pth: " in done.err and no_traceback(done)
    assert len(done.err.splitlines()) == 1 and not Path("pwned").exists()


def test_a_net_that_fails_leaves_nothing(janus):
    state = tensors(build("compact"))
    state["body.0.bias"].fill_(float("nan"))
    torch.save(state, "nan.pth")
    Image.fromarray(picture(8, 9)).save("a.png")
    for output in ("b.png", "b.safetensors"):
        done = janus("upsample", "a.png", "-m", "nan.pth", "-o", output)
        assert done.code == 1 and "no finite numbers" in done.err and no_traceback(done)
    assert sorted(p.name for p in Path().iterdir() if p.suffix != ".stdin") == ["a.png", "nan.pth"]


# ---- memory

MEASURE = """
import sys
from janus_cli.app import main

def peak():
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmHWM"))

assert main(["upsample", "small.png", *sys.argv[1:]]) == 0
before = peak()
assert main(["upsample", "tall.png", *sys.argv[1:]]) == 0
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_a_tall_picture_takes_no_more_memory_than_a_low_one(environment, checkpoints):
    """Rows go out as they are done: neither the output nor its floats are ever there as a whole."""
    Image.fromarray(picture(400, 160)).save("small.png")
    Image.fromarray(picture(4000, 160)).save("tall.png")
    output = 16 * 4000 * 160 * 3
    options = ["-q", "-f", "-m", str(checkpoints / "4x.safetensors"), "-o", "out.png"]
    environ = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}  # what is freed goes back: no holes
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *options], capture_output=True, text=True, check=False, env=environ
    )
    assert done.returncode == 0, done.stderr
    assert Image.open("out.png").size == (640, 16000)
    assert int(done.stdout) < output / 2
