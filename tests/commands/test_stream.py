"""`--stream`: parts through pipes, whatever they are mixed with; broken streams; stages that are killed."""

import dataclasses
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.runs import TIMEOUT, no_traceback, records

from janus_cli.pipeline import PictureOptions, Sampling, load
from janus_cli.records import Part, Record, Segment, StreamWriter, dumps, read_stream
from janus_cli.records.progressive import check_order


def stream(parts: list[Record], end: bool = True) -> bytes:
    file = io.BytesIO()
    writer = StreamWriter(file, numbered=True)
    for part in parts:
        writer.write(part)
    if end:
        writer.close()
    return file.getvalue()


def whole(record: Record) -> bytes:
    """The record's bytes as if it had no parts."""
    return dumps(dataclasses.replace(record, part=None))


def lasts(data: bytes) -> list[bytes]:
    return [whole(r) for r in records(data) if r.part is None or r.part.last]


@pytest.fixture
def prompts(janus) -> bytes:
    return janus("tokenize", "text", "a red apple", "two", "-q").out


@pytest.fixture
def parts(janus) -> list[Record]:
    """A streamed picture: four rows, then the whole."""
    return records(janus("generate", "--stream", stdin=janus("tokenize", "text", "a").out).out)


# ---- what comes


def test_a_part_for_each_row_and_then_the_whole(janus, parts):
    [offline] = records(janus("generate", stdin=janus("tokenize", "text", "a").out).out)
    assert [p.part for p in parts] == [*(Part(i, False, (i, i + 1)) for i in range(4)), Part(4, True, (0, 4))]
    assert whole(parts[-1]) == dumps(offline)
    rows = [p.segments[0].data for p in parts[:-1]]
    assert np.array_equal(np.concatenate(rows), offline.segments[0].data)
    assert all((p.id, p.made_by) == (offline.id, offline.made_by) for p in parts)


@pytest.mark.parametrize("stages", [("denoise",), ("denoise", "upsample"), ("upsample",)])
def test_every_stage_streams_what_it_makes_offline(janus, prompts, stages):
    """Two prompts, three pictures each, in batches of four: parts of up to four results are mixed."""
    flags = ("-n", "3", "--batch-size", "4")
    plain, streamed = (
        janus("generate", *flags, stdin=prompts).out,
        janus("generate", *flags, "--stream", stdin=prompts).out,
    )
    assert lasts(streamed) == lasts(plain) and len(lasts(plain)) == 6
    for name in stages:
        waited = janus(name, stdin=streamed)
        plain, streamed = janus(name, stdin=plain).out, janus(name, "--stream", stdin=streamed).out
        assert waited.out == plain, "without --stream only last parts are read, and wholes are given"
        assert lasts(streamed) == lasts(plain)
    made = records(streamed)
    assert len(made) == 30
    side = made[0].find("pixels").data.shape[2]
    assert side == (32 if "upsample" in stages else 8)
    for end in (p for p in made if p.part.last):
        own = [p for p in made if p.made_by == end.made_by and not p.part.last]
        assert [p.part.index for p in own] == [0, 1, 2, 3]
        for modality in ("image", "pixels"):
            joined = np.concatenate([p.find(modality).data for p in own])
            assert np.array_equal(joined, end.find(modality).data)


def test_a_whole_record_is_streamed_too(janus, prompts):
    plain = janus("generate", stdin=prompts).out
    streamed = janus("denoise", "--stream", stdin=plain).out
    assert [r.part.index for r in records(streamed)] == [0, 1, 2, 3, 4] * 2
    assert lasts(streamed) == lasts(janus("denoise", stdin=plain).out)


def test_pixels_without_tokens_stream(janus):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 2, 8, 8, 3), np.uint8)
    record = Record((Segment("pixels", pixels, {"patch": 8}),), "bare")
    streamed = janus("upsample", "--stream", stdin=dumps(record)).out
    assert lasts(streamed) == lasts(janus("upsample", stdin=dumps(record)).out)
    assert [len(r.segments) for r in check_order(records(streamed))] == [1, 1, 1, 1]


def test_noise_is_the_same_in_a_stream(janus, prompts):
    plain, streamed = (janus("generate", *flag, stdin=prompts).out for flag in ((), ("--stream",)))
    flags = ("--noise", "1", "--seed", "3")
    assert lasts(janus("denoise", "--stream", *flags, stdin=streamed).out) == lasts(
        janus("denoise", *flags, stdin=plain).out
    )


def test_a_file_of_parts_is_read_like_a_pipe(janus, parts):
    prompt = janus("tokenize", "text", "a").out
    assert janus("generate", "--stream", "-o", "p.safetensors", stdin=prompt).code == 0
    from_file, from_pipe = (
        janus("denoise", "--stream", "p.safetensors"),
        janus("denoise", "--stream", stdin=stream(parts)),
    )
    assert from_file.out == from_pipe.out
    for sink in ("out/", "s.tar"):
        done = janus("denoise", "--stream", "p.safetensors", "-o", sink)
        assert done.code == 2 and "--stream writes parts" in done.err


def test_only_pictures_are_streamed(janus):
    done = janus("generate", "--to", "text", "--stream", stdin=b"")
    assert done.code == 2 and "--stream is for pictures" in done.err


@pytest.mark.slow
def test_the_streaming_pipe_draws_the_same_picture(shell, janus, environment):
    line = (
        "janus tokenize text 'a red apple' | janus generate --seed 7 --stream -q "
        "| janus denoise --stream -q | janus upsample --stream -q | janus decode -q -o piped.png"
    )
    done = shell(line)
    assert (done.code, done.err) == (0, "")
    assert janus("draw", "-q", "a red apple", "--seed", "7", "-o", "drawn.png").code == 0
    assert (environment / "piped.png").read_bytes() == (environment / "drawn.png").read_bytes()


# ---- what does not fit together


def other_row(part: Record, more: int = 1, modulo: int = 32) -> Record:
    segment = part.segments[0]
    ids = (segment.data + more) % modulo
    return dataclasses.replace(part, segments=(Segment("image", ids, segment.info),))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: p[:2], "stopped after 2 of its parts, 2 rows, without the last one"),
        (lambda p: [p[0], *p[2:]], "part 2 comes where part 1 is due"),
        (lambda p: [p[1], p[0], *p[2:]], "part 1 comes where part 0 is due"),
        (lambda p: [p[0], p[0]], "part 0 comes where part 1 is due"),
        (
            lambda p: [p[0], dataclasses.replace(p[2], part=Part(1, False, (2, 3)))],
            "part 1 has the rows 2 to 3 where those from 1 are due",
        ),
        (
            lambda p: [dataclasses.replace(p[0], part=Part(0, False, (0, 2)))],
            "part 0 says that it has 2 rows, but its image segment has 1",
        ),
        (
            lambda p: [*p[:3], dataclasses.replace(p[0], part=Part(3, True, (0, 1)))],
            "part 3 has the rows 0 to 1 where all 3 or more are due",
        ),
    ],
    ids=["no last part", "a gap", "order", "twice", "rows missing", "rows lie", "short whole"],
)
@pytest.mark.parametrize("flag", [(), ("--stream",)])
def test_parts_that_do_not_fit(janus, parts, change, says, flag):
    done = janus("denoise", "-q", *flag, stdin=stream(change(parts)))
    assert done.code == 1 and done.err.count("\n") == 1 and no_traceback(done)
    assert done.err.startswith("janus: stdin: record '0': ") and says in done.err


def test_rows_that_change_until_the_whole_comes(janus, parts):
    done = janus("denoise", "--stream", "-q", stdin=stream([other_row(parts[0]), *parts[1:]]))
    assert done.code == 1 and done.err == "janus: record '0': its parts do not fit together\n"


@pytest.mark.parametrize("ends", [True, False])
def test_one_bad_result_among_many(janus, parts, ends):
    """It is counted once, whether it ends or not; its other parts are passed over."""
    bad = [dataclasses.replace(other_row(p, 99, 999), id="bad") for p in parts]
    mixed = [part for pair in zip(bad, parts, strict=True) for part in pair if ends or part is not bad[-1]]
    done = janus("denoise", "--stream", "-q", stdin=stream(mixed))
    assert done.code == 3 and done.err.count("out of range") == 1 and "1 of 2 items failed" in done.err
    assert {r.id for r in records(done.out)} == {"0"} and len(records(done.out)) == 5


def test_a_bad_result_that_stops_alone(janus, parts):
    done = janus("denoise", "--stream", "-q", stdin=stream([other_row(p, 99, 999) for p in parts[:2]]))
    assert done.code == 1 and done.err.count("\n") == 1 and "out of range" in done.err


@pytest.mark.parametrize("command", [("denoise",), ("denoise", "--stream"), ("decode", "-o", "{id}.png")])
def test_a_result_that_stops_spoils_no_other(janus, parts, command):
    """As where the stage before has counted it as failed and gone on to the end."""
    stopped = [dataclasses.replace(p, id="stopped") for p in parts[:2]]
    done = janus(*command, "-q", stdin=stream([*stopped, *parts]))
    assert done.code == 3 and "record 'stopped': stopped after 2 of its parts" in done.err
    assert "1 of 2 items failed" in done.err and no_traceback(done)
    if command[0] == "decode":
        assert Path("0.png").exists()
    else:
        assert lasts(done.out) == lasts(janus(*command, "-q", stdin=stream(parts)).out)


@pytest.mark.parametrize("size", [5, True, [8], ["a", 8], [0, 8], [8.5, 8], {"a": 1}])
@pytest.mark.parametrize("command", ["denoise", "upsample"])
def test_a_size_that_is_none(janus, parts, size, command):
    segment = parts[-1].segments[-1]
    odd = Segment("image", segment.data, {**segment.info, "size": size})
    done = janus(command, "-q", stdin=dumps(dataclasses.replace(parts[-1], part=None, segments=(odd,))))
    assert done.code == 1 and "metadata segments[0].size" in done.err and done.err.count("\n") == 1


def test_a_last_part_needs_no_other(janus, parts):
    assert lasts(janus("denoise", "--stream", stdin=dumps(parts[-1])).out) == lasts(
        janus("denoise", stdin=dumps(parts[-1])).out
    )


# ---- stages that are killed


class Stage:
    """A `janus` process between two pipes of ours."""

    def __init__(self, *args: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "janus_cli", *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.parts = read_stream(self.process.stdout)

    def send(self, data: bytes) -> None:
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def finish(self) -> tuple[int, str, bytes]:
        out, err = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, err.decode(), out


@pytest.mark.slow
def test_a_killed_generate_and_a_killed_denoise(environment, janus):
    """kill -9 in the middle of a stream; every later stage says so in a line, and no file appears."""
    prompt = janus("tokenize", "text", "a", "-q").out
    generate = Stage("generate", "--stream", "-q")
    denoise = Stage("denoise", "--stream", "--steps", "1", "-q")
    generate.send(prompt)
    generate.process.stdin.close()
    for i in range(3):
        denoise.send(dumps(next(generate.parts), seq=i))
    first = next(denoise.parts)
    assert first.part == Part(0, False, (0, 1)), "a row is out before the last tokens are in"
    generate.process.kill()
    generate.process.wait()
    code, err, rest = denoise.finish()
    assert code == 1 and err.count("\n") == 1
    assert "stopped after 3 of its records" in err and "did not finish" in err
    done = janus("decode", "-q", "-o", "out.png", stdin=dumps(first, seq=0) + rest)
    assert done.code == 1 and "the command that wrote it did not finish" in done.err
    assert done.err.count("\n") == 1

    denoise = Stage("denoise", "--stream", "--steps", "1", "-q")
    denoise.send(stream(records(janus("generate", "--stream", "-q", stdin=prompt).out)[:3], end=False))
    first = next(denoise.parts)
    denoise.process.kill()
    denoise.process.wait()
    upsample = Stage("upsample", "--stream", "-q")
    upsample.send(dumps(first, seq=0))
    code, err, rest = upsample.finish()
    assert code == 1 and "stopped after 1 of its records" in err and err.count("\n") == 1
    for stage in (generate, denoise):
        for pipe in (stage.process.stdin, stage.process.stdout, stage.process.stderr):
            pipe.close()
    assert list(environment.iterdir()) == []


@pytest.mark.slow
def test_a_reader_that_goes_is_no_news(shell, janus):
    done = shell(
        "janus generate -q -n 99 --stream | head -c 20 | wc -c; echo ${PIPESTATUS[0]}",
        stdin=janus("tokenize", "text", "a", "-q").out,
    )
    assert (done.err, done.text.split()) == ("", ["20", "1"]), "99 pictures' parts would fill the pipe"


# ---- in one process


def test_draw_shows_parts_while_the_decoder_runs(tiny_model):
    pipeline, options = load(str(tiny_model)), Sampling(n=3, seed=5, batch_size=2)
    seen: list[tuple[str, int, Record]] = []
    count: list[int] = []
    picture = PictureOptions(steps=1)
    plain = [dumps(r) for r in pipeline.draw(["a", None, "b"], options, picture)]

    def watch(stage, part):
        seen.append((stage, sum(count), part))

    watched = pipeline.draw(["a", None, "b"], options, picture, count.append, watch)
    assert [dumps(r) for r in watched] == plain and len(plain) == 6
    firsts = {
        name: next(made for stage, made, _ in seen if stage == name)
        for name in ("generate", "denoise", "upsample")
    }
    assert firsts["generate"] == 2 * 4, "two pictures, a row each"
    assert firsts["denoise"] == 2 * 12, "a row is sharp when the third one has come"
    for name in firsts:
        assert sum(stage == name for stage, _, _ in seen) == 6 * 5
    ends = [whole(part) for stage, _, part in seen if stage == "upsample" and part.part.last]
    assert ends == plain


def test_the_api_streams(tiny_model):
    pipeline = load(str(tiny_model))
    refining, prompt = pipeline.refining, pipeline.tokenize("a", "x")
    tokens = pipeline.plan_picture().run([prompt], stream=True)
    made = list(refining.upsample(refining.denoise(tokens, stream=True), 2, stream=True))
    [plain] = refining.upsample(refining.denoise(pipeline.plan_picture().run([prompt])), 2)
    assert whole(made[-1]) == dumps(plain) and [p.part.last for p in made] == [False] * 4 + [True]
