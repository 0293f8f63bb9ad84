"""`janus draw --frames` and `--animation`: what is written, what it is called, what is refused."""

import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers.runs import pixels
from PIL import Image

from janus_cli.errors import MediaError
from janus_cli.media.files import atomic_write
from janus_cli.media.pictures import FRAME_MS, LAST_FRAME_MS, animation_bytes
from janus_cli.shell.watch.watcher import States


def frames_of(name: str) -> tuple[list[np.ndarray], list[int]]:
    """The frames of an animation, and how long each is shown, in ms."""
    with Image.open(name) as image:
        found, shown = [], []
        for i in range(image.n_frames):
            image.seek(i)
            found.append(np.asarray(image.convert("RGB")))
            shown.append(round(image.info["duration"]))
        return found, shown


def names(folder: str = ".") -> list[str]:
    return sorted(p.name for p in Path(folder).iterdir())


def test_frames_are_numbered_and_end_as_the_picture(janus):
    done = janus("draw", "a red apple", "--frames", "new/frames")
    assert done.code == 0 and done.out == b""
    found = names("new/frames")
    assert found == [f"a-red-apple-{i:04d}.png" for i in range(len(found))] and len(found) > 8
    states = [pixels(Path("new/frames", name)) for name in found]
    assert np.array_equal(states[-1], pixels("a-red-apple.png"))
    assert all((a != b).any() for a, b in pairwise(states)), "no frame twice"
    assert not Image.open(Path("new/frames", found[-1])).text


def test_watching_changes_no_picture(janus):
    janus("draw", "a", "b", "-o", "plain/")
    janus("draw", "a", "b", "-o", "watched/", "--frames", "f", "--animation", "x-{prompt}.gif")
    for name in names("plain"):
        assert Path("plain", name).read_bytes() == Path("watched", name).read_bytes()


def test_frames_of_several_pictures_and_runs_stay_apart(janus):
    janus("draw", "a", "-n", "2", "--frames", "f")
    first = {name: Path("f", name).read_bytes() for name in names("f")}
    assert {name[:-9] for name in first} == {"a", "a-1"}
    janus("draw", "a", "--frames", "f")
    assert {name[:-9] for name in names("f")} == {"a", "a-1", "a-2"}
    assert all(Path("f", name).read_bytes() == data for name, data in first.items())
    before = names("f")
    janus("draw", "a", "--frames", "f", "--force")
    assert names("f") == before


@pytest.mark.parametrize("suffix", ["webp", "gif", "apng"])
def test_animations(janus, suffix):
    done = janus("draw", "a red apple", "--animation", f"a.{suffix}", "--frames", "f")
    assert done.code == 0 and f"wrote a.{suffix}" in done.err
    found, shown = frames_of(f"a.{suffix}")
    states = [pixels(Path("f", name)) for name in names("f")]
    assert len(found) == len(states) and shown == [FRAME_MS] * (len(states) - 1) + [LAST_FRAME_MS]
    assert Image.open(f"a.{suffix}").info["loop"] == 0
    tolerance = {"apng": 0, "webp": 12, "gif": 16}[suffix]  # random weights draw noise
    for one, other in zip(found, states, strict=True):
        assert np.abs(one.astype(int) - other).mean() <= tolerance


def test_several_animations(janus):
    janus("draw", "a", "b", "--animation", "x-{prompt}.webp", "-o", "{prompt}.png")
    done = janus("draw", "a", "b", "--animation", "y.webp")
    assert done.code == 2 and "y.webp is the name of one file" in done.err
    assert names() == ["a.png", "b.png", "x-a.webp", "x-b.webp"]
    janus("draw", "a", "-n", "2", "--animation", "{prompt}{index}.gif", "-o", "-")
    assert {"a0.gif", "a1.gif"} <= set(names())


def test_an_animation_may_stand_beside_standard_output(janus):
    done = janus("draw", "a", "--animation", "x.apng", "-o", "-")
    assert done.out.startswith(b"\x89PNG") and names() == ["x.apng"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--animation", "x.mp4"], "x.mp4: no known format: use a name in .webp, .gif, .apng"),
        (["--animation", "{colour}.gif"], "unknown field {colour}"),
        (["--animation", "-"], "--animation -: name a file in .webp, .gif, .apng"),
        (["--animation", "x.webp", "-o", "x.webp"], "both name x.webp"),
        (["--animation", "./x.webp", "-o", "x.webp", "--force"], "both name x.webp"),
        (["--frames", "file"], "--frames file: not a folder"),
        (["--frames", ""], "--frames: name a folder"),
    ],
)
def test_what_cannot_be_is_said_before_drawing(janus, args, says):
    Path("file").write_text("precious")
    done = janus("draw", "a", *args)
    assert done.code == 2 and says in done.err and names() == ["file"]


def test_an_unknown_protocol_is_said_before_drawing(janus, monkeypatch):
    monkeypatch.setenv("JANUS_PREVIEW", "crayon")
    done = janus("draw", "a", "--preview")
    assert done.code == 2 and "JANUS_PREVIEW=crayon: choose kitty" in done.err and names() == []


def test_a_folder_that_cannot_be_made_loses_no_picture(janus):
    Path("file").write_text("precious")
    done = janus("draw", "a", "b", "--frames", "file/frames", "--animation", "{prompt}.gif")
    assert done.code == 3 and done.err.count("file/frames: cannot be made") == 2, "once a picture"
    assert names() == ["a.gif", "a.png", "b.gif", "b.png", "file"]


def test_a_disk_that_fills_ends_the_frames_of_a_picture_alone(janus, monkeypatch):
    from janus_cli.shell.watch import watcher as watching

    def full(path: Path, *rest: object) -> Path:
        if path.name == "a-0003.png":
            raise MediaError(f"{path}: cannot be written: No space left on device")
        return atomic_write(path, *rest)

    monkeypatch.setattr(watching, "atomic_write", full)
    done = janus("draw", "a", "b", "--frames", "f")
    assert done.code == 3 and done.err.count("No space left") == 1 and {"a.png", "b.png"} <= set(names())
    assert [n for n in names("f") if n[0] == "a"] == [f"a-000{i}.png" for i in range(3)]
    assert len([n for n in names("f") if n[0] == "b"]) > 8


def test_states_are_kept_small_and_whole():
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    states = [np.where(np.arange(256)[:, None, None] < 4 * i, noise, np.uint8(232)) for i in range(65)]
    kept = States()
    tracemalloc.start()
    for state in states:
        kept.add(state.copy())
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 3 * noise.nbytes, "not 65 times"
    assert np.array_equal(kept.unpack(), states)


def test_an_animation_that_fails_loses_no_picture(janus):
    done = janus("draw", "a", "--animation", "no/{prompt}/x.webp", "-o", "a.png")
    assert done.code == 3 and "there is no folder no/a" in done.err and "wrote a.png" in done.err
    assert names() == ["a.png"]


def test_pictures_and_animations_may_share_a_folder(janus):
    done = janus("draw", "a", "--animation", "out/", "-o", "out/")
    assert done.code == 0 and names("out") == ["a.png", "a.webp"]


def test_an_unknown_animation_format():
    with pytest.raises(MediaError, match="'mp4' .known: webp, gif, apng"):
        animation_bytes([np.zeros((8, 8, 3), np.uint8)], "mp4")
