"""All bytes of a sound file are accounted for: joined files, sizes never filled in, tags, what is over."""

import io
import random
import struct

import numpy as np
import pytest
from helpers.sounds import close_page, file_bytes, leave_open, mpeg_frames, tone

from janus_cli.errors import MediaError
from janus_cli.media.sound_parts import find_parts
from janus_cli.media.sounds import open_sound

RATE = 16000
CONTAINERS = ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3"]
SUBTYPES = {"OGG": ["VORBIS", "OPUS"]}
EVERY = [(f, s) for f in CONTAINERS for s in SUBTYPES.get(f, [None])]
ID3V1 = b"TAG" + bytes(64) + b"x" * 61
ID3V1_LONG = b"TAG+" + b"y" * 223 + ID3V1
ID3V2 = b"ID3\4\0\0\0\0\0\x14" + b"TIT2 \xff\xfb\x90 fLaC RIFF  "
APE = (
    b"APETAGEX" + struct.pack("<IIII", 2000, 52, 1, 0xA0000000) + bytes(8) + b"i" * 20
    + b"APETAGEX" + struct.pack("<IIII", 2000, 52, 1, 0x80000000) + bytes(8)
)  # fmt: skip
APE_V1 = b"i" * 20 + b"APETAGEX" + struct.pack("<IIII", 1000, 52, 1, 0) + bytes(8)
LYRICS = b"LYRICSBEGININD00002100" + b"000022LYRICS200"
TAGS = [ID3V1, ID3V1_LONG, APE, APE_V1, APE + ID3V1, LYRICS + ID3V1, bytes(1000)]


def make(format, subtype=None, seed=0, seconds=0.4, rate=RATE, channels=1):
    return file_bytes(0.4 * tone(seconds, rate, channels, seed), rate, format, subtype)


def read(data, name="x"):
    with open_sound(io.BytesIO(data), name) as sound:
        whole = sound.whole()
        assert whole.shape == (sound.channels, sound.num_samples)
        return whole


@pytest.mark.parametrize(("format", "subtype"), EVERY)
def test_joined_files_are_read_whole(format, subtype):
    first, second = make(format, subtype), make(format, subtype, seed=1, seconds=0.7)
    expected = np.concatenate([read(first), read(second)], axis=1)
    for between in (b"", ID3V1 + ID3V2, APE, bytes(500)):
        np.testing.assert_array_equal(read(first + between + second + ID3V1), expected)


def test_files_of_several_formats_are_read_whole():
    files = [make(f, s, seed=i) for i, (f, s) in enumerate(EVERY)]
    np.testing.assert_array_equal(read(b"".join(files)), np.concatenate([read(f) for f in files], axis=1))


@pytest.mark.parametrize(("format", "subtype"), EVERY)
def test_tags_are_passed_over(format, subtype):
    data = make(format, subtype)
    for tag in TAGS:
        np.testing.assert_array_equal(read(ID3V2 + data + tag), read(data))


@pytest.mark.parametrize(("format", "subtype"), EVERY)
@pytest.mark.parametrize(
    "rest", [b"left over", b"a text that follows, of some length " * 5, random.Random(7).randbytes(3000)]
)
def test_what_is_left_over_is_an_error(format, subtype, rest):
    data = make(format, subtype)
    message = "damaged after its last whole frame" if format == "FLAC" else (
        f"{len(rest):,} bytes from byte {len(data):,} on are no sound"
    )  # fmt: skip
    with pytest.raises(MediaError, match=f"^x: {message}"):
        read(data + rest)


@pytest.mark.parametrize(("format", "subtype"), EVERY)
def test_joined_sounds_that_differ_are_an_error(format, subtype):
    first, second = make(format, subtype), make("WAV", rate=8000)
    with pytest.raises(
        MediaError, match=rf"16000 Hz in 1 channels and, from byte {len(first):,} on, of 8000 Hz"
    ):
        read(first + second)
    with pytest.raises(MediaError, match=r"of 16000 Hz in 2: cut it into its parts$"):
        read(first + make(format, subtype, channels=2))


@pytest.mark.parametrize(("format", "subtype"), EVERY)
def test_any_cut_is_said(format, subtype):
    data = make(format, subtype)
    for size in [*range(20, len(data) - 300, len(data) // 12), len(data) // 2 + 1]:
        with pytest.raises(MediaError, match="^x: "):
            read(data[:size])


def unfilled(format, samples, size):
    """A file whose header was written before its size was known: `size` stands for it."""
    data = bytearray(file_bytes(np.zeros((1, 0)), 8000, format, "PCM_16"))
    place = {"WAV": data.find(b"data") + 4, "AU": 8, "AIFF": data.find(b"SSND") + 4}[format]
    order = "<I" if format == "WAV" else ">I"
    data[place : place + 4] = struct.pack(order, size)
    if format != "AU":
        data[4:8] = struct.pack(order, size)
    kept = data[: place + 4] if format == "WAV" else data[:24] if format == "AU" else data[: place + 12]
    return bytes(kept) + samples.astype("<i2" if format == "WAV" else ">i2").tobytes()


@pytest.mark.parametrize("format", ["WAV", "AU", "AIFF"])
@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFF0000])
def test_sizes_that_were_never_filled_in(format, size):
    samples = np.arange(-500, 500, dtype=np.int16)
    data = unfilled(format, samples, size)
    np.testing.assert_array_equal(read(data)[0], samples / np.float32(32768))
    np.testing.assert_array_equal(read(data + data), np.tile(read(data), 2))
    assert read(data + ID3V1).shape == (1, 1000)


@pytest.mark.parametrize("size", [0, (1 << 64) - 1])
def test_sizes_of_64_bits_that_were_never_filled_in(size):
    sound = np.full((1, 500), 0.25)
    for format, place, whole in [("W64", 16, None), ("RF64", 20, 28), ("CAF", None, None)]:
        data = bytearray(file_bytes(sound, 8000, format, "PCM_16"))
        start = data.find(b"data") + {"W64": 16, "RF64": 4, "CAF": 4}[format]
        if place is not None:
            data[place : place + 8] = struct.pack("<Q", size)
        if whole is not None:  # the size of the samples is in the chunk ds64
            data[whole : whole + 8] = struct.pack("<Q", size)
            data[start : start + 4] = b"\xff" * 4
        else:
            data[start : start + 8] = struct.pack("<Q", size)
        found = read(
            bytes(data[: data.find(struct.pack(">h" if format == "CAF" else "<h", 8192) * 500) + 1000])
        )
        assert found.shape == (1, 500) and (found == 0.25).all(), format


def test_a_wav_without_samples_has_none():
    head = file_bytes(np.zeros((1, 0)), 8000)
    assert read(head).shape == (1, 0)
    listed = b"LIST" + struct.pack("<I", 12) + b"INFOISFT\0\0\0\0"
    assert read(head + listed).shape == (1, 0)


def test_a_size_that_is_too_small_leaves_something_over():
    data = bytearray(file_bytes(np.zeros((1, 1000)), 8000))
    data[40:44] = struct.pack("<I", 1000)
    data = bytes(data[:44]) + random.Random(1).randbytes(2000)
    with pytest.raises(MediaError, match="^x: 1,000 bytes from byte 1,044 on are no sound"):
        read(data)


@pytest.mark.parametrize("name", [b"ID3 ", b"bext", b"JUNK", b"LIST"])
def test_chunks_that_hold_no_samples_are_passed_over(name):
    for format, order in (("WAV", "<I"), ("AIFF", ">I")):
        data = make(format)
        for size, padding in ((7, b"\0"), (7, b""), (8, b"")):
            more = name + struct.pack(order, size) + b"\xff" * size + padding
            np.testing.assert_array_equal(read(data + more), read(data))
        front = b"JUNK" + struct.pack(order, 7) + bytes(8)
        np.testing.assert_array_equal(read(data[:12] + front + data[12:]), read(data))


def test_samples_in_two_places_are_an_error():
    data = file_bytes(np.zeros((1, 10)), 8000)
    with pytest.raises(MediaError, match="^x: samples in several places"):
        read(data + b"data" + struct.pack("<I", 4) + bytes(4))


def test_half_a_sample_is_an_error():
    data = bytearray(file_bytes(np.zeros((2, 10)), 8000))
    data[40:44] = struct.pack("<I", 38)
    with pytest.raises(MediaError, match="^x: 38 bytes of samples, but 4 make one of 2 channels"):
        read(bytes(data[:-2]))


# ---- Ogg


def test_damaged_and_missing_pages_are_said():
    data = make("OGG", "VORBIS", seconds=4)
    pages = [i for i in range(len(data)) if data.startswith(b"OggS", i)]
    assert len(pages) > 4
    flipped = bytearray(data)
    flipped[(pages[3] + pages[4]) // 2] ^= 4
    with pytest.raises(
        MediaError, match=rf"^x: damaged: the page at byte {pages[3]:,} does not fit its checksum"
    ):
        read(bytes(flipped))
    with pytest.raises(MediaError, match=r"^x: damaged: pages are missing before byte"):
        read(data[: pages[3]] + data[pages[4] :])


def test_streams_side_by_side_and_other_codecs_are_refused():
    vorbis, opus = make("OGG", "VORBIS"), make("OGG", "OPUS")
    first = vorbis.find(b"OggS", 4)
    with pytest.raises(MediaError, match=r"^x: Ogg of Vorbis and Opus is not read"):
        read(vorbis[:first] + opus[: opus.find(b"OggS", 4)] + vorbis[first:])
    with pytest.raises(MediaError, match=r"damaged: the page at byte 0"):
        read(vorbis.replace(b"\1vorbis", b"\1vorbiz", 1))


# ---- MPEG


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_without_its_end_mark_is_read_with_a_word(subtype):
    data = make("OGG", subtype)
    place = data.rfind(b"OggS")
    page = data[place:]
    assert close_page(page) == page and page[5] & 4
    unended = leave_open(data)
    for whole in (unended, unended + data):
        notes: list[str] = []
        with open_sound(io.BytesIO(whole), "x", notes.append) as sound:
            found = sound.whole()
        assert notes == ["x: its end mark is missing: it may be cut off"]
        assert np.array_equal(found[:, : read(data).shape[1]], read(data))
    longer = make("OGG", subtype, seconds=4)
    with pytest.warns(UserWarning, match="its end mark is missing"):  # whole pages that are cut off
        assert 0 < read(longer[: longer.rfind(b"OggS")]).shape[1] < 4 * RATE
    with pytest.warns(UserWarning, match="its end mark is missing"):
        read(unended)
    goes_on = page[:26] + bytes([1, 255]) + bytes(255)
    for last in (page[:6] + b"\xff" * 8 + page[14:], goes_on):  # no packet ends there; one goes on
        with pytest.raises(MediaError, match="^x: truncated: its last page is missing$"):
            read(data[:place] + close_page(last[:5] + b"\0" + last[6:]))
    with pytest.raises(MediaError, match="^x: truncated"):
        read(data[:-1])


def test_frames_without_a_note_of_the_whole_are_counted():
    assert read(mpeg_frames(20)).shape == (1, 20 * 1152)
    assert read(mpeg_frames(20) + mpeg_frames(3)).shape == (1, 23 * 1152)


def test_frames_behind_what_was_noted_are_read():
    rest = mpeg_frames(10)
    data = make("MP3", rate=44100, seconds=1)
    assert read(data + rest).shape == (1, 44100 + 10 * 1152)


def test_an_encoder_that_counts_one_frame_less_loses_none():
    data = bytearray(make("MP3"))
    note = max(data.find(b"Info"), data.find(b"Xing")) + 8
    count = struct.unpack(">I", data[note : note + 4])[0]
    before = read(bytes(data)).shape[1]
    data[note : note + 4] = struct.pack(">I", count - 1)
    assert read(bytes(data)).shape[1] == before


def test_frames_of_another_rate_are_an_error():
    with pytest.raises(MediaError, match="several sounds in one file, of 44100 Hz in 1 channels"):
        read(mpeg_frames(5) + mpeg_frames(5, rate=1))


@pytest.mark.parametrize("seed", range(6))
def test_damage_within_frames_is_silent_on_stderr(seed, capfd):
    data = bytearray(make("MP3", seconds=1))
    rng = random.Random(seed)
    for _ in range(20):
        data[rng.randrange(400, len(data))] ^= 1 << rng.randrange(8)
    try:
        read(bytes(data))
    except MediaError as error:
        assert str(error).startswith("x: ")
    assert capfd.readouterr().err == ""


def test_a_frame_that_the_decoder_calls_damaged_is_an_error():
    data = bytearray(make("MP3", seconds=1))
    frames = [p for p in range(len(data) - 1) if data[p : p + 2] == data[:2]]
    for frame in frames[10:20]:
        data[frame + 4 : frame + 13] = b"\xff" * 9  # the side information
    with pytest.raises(MediaError, match=r"^x: damaged"):
        read(bytes(data))


# ---- hostile


@pytest.mark.parametrize(("format", "subtype"), EVERY)
def test_any_damage_is_a_sound_or_one_line(format, subtype):
    data, rng = make(format, subtype, seconds=0.2), random.Random(3)
    for _ in range(40):
        broken = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            broken[rng.randrange(min(len(data), 200))] = rng.choice([0, 255, rng.randrange(256)])
        try:
            find_parts(io.BytesIO(bytes(broken)), "x")
            read(bytes(broken))
        except MediaError as error:
            assert str(error).startswith("x: ") and "\n" not in str(error)
