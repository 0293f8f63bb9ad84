"""Colours on reading: profiles and PNG's chunks to sRGB, against sRGB's and the profiles' definitions."""

import io
import struct

import numpy as np
import pytest
from helpers import picture_files as make
from PIL import Image, ImageCms

from janus_cli.errors import MediaError
from janus_cli.media import pictures
from janus_cli.media.colours import SRGB, make_profile

COLOUR = [200, 60, 20]
P3 = make.icc_rgb(make.P3_COLORANTS, 1.8)
DAMAGED = "its colour profile is damaged: its colours are taken for sRGB"


def read(data: bytes, *said: str) -> list[int]:
    """Read the first pixel; the reader must say exactly this."""
    notes: list[str] = []
    found = pictures.read_image(io.BytesIO(data), "x", notes.append)
    assert notes == [f"x: {text}" for text in said]
    return found[0, 0].tolist()


def flat(colour, mode: str, format: str, **options) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (16, 16), colour).save(file, format, **options)
    return file.getvalue()


def near(found, right, by: int = 1) -> bool:
    return bool(np.abs(np.array(found) - np.round(right)).max() <= by)


@pytest.mark.parametrize(
    ("format", "options", "by"),
    [
        ("PNG", {}, 1),
        ("TIFF", {}, 1),
        ("WEBP", {"lossless": True}, 1),
        ("JPEG", {"quality": 100, "subsampling": 0}, 3),
        ("AVIF", {"quality": 100}, 3),
        ("HEIF", {"quality": 100}, 4),
    ],
)
def test_a_profile_is_followed(format, options, by):
    if format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    for colorants, gamma in ((make.P3_COLORANTS, 1.8), (make.ADOBE_COLORANTS, 563 / 256)):
        right = make.mix(colorants, (np.array(COLOUR) / 255) ** gamma)
        profile = make.icc_rgb(colorants, gamma)
        assert near(read(flat(tuple(COLOUR), "RGB", format, icc_profile=profile, **options)), right, by)
    assert np.abs(right - COLOUR).max() > 10  # the test can fail


def test_samples_of_16_bits_and_palettes_have_profiles_too():
    right = make.mix(make.P3_COLORANTS, (np.array(COLOUR) / 255) ** 1.8)
    assert near(read(make.png([[np.array(COLOUR) * 257]], 16, 2, make.iccp(P3))), right)
    assert near(read(make.png([[0]], 8, 3, make.iccp(P3), (b"PLTE", bytes(COLOUR)))), right)
    data = make.tiff([[np.array(COLOUR) * 257]], 16, 2, {34675: (make.UNDEFINED, P3)}, order=">")
    assert near(read(data), right)


def test_transparency_is_mixed_after_the_conversion():
    right = make.mix(make.P3_COLORANTS, (np.array(COLOUR) / 255) ** 1.8) * 0.2 + 255 * 0.8
    assert near(read(make.png([[[*COLOUR, 51]]], 8, 6, make.iccp(P3))), right)
    key = (b"tRNS", struct.pack(">3H", *COLOUR))
    assert read(make.png([[COLOUR]], 8, 2, make.iccp(P3), key)) == [255, 255, 255]


def test_grey_profiles():
    for gamma in (1.0, 1.8):
        right = make.encode_srgb((100 / 255) ** gamma)
        assert near(read(make.png([[100]], 8, 0, make.iccp(make.icc_grey(gamma)))), [right] * 3)
        assert near(read(make.png([[25_700]], 16, 0, make.iccp(make.icc_grey(gamma)))), [right] * 3)
        assert near(read(flat(100, "L", "JPEG", icc_profile=make.icc_grey(gamma))), [right] * 3, 2)
    right = make.encode_srgb(100 / 255) * 0.2 + 255 * 0.8
    assert near(read(make.png([[[100, 51]]], 8, 4, make.iccp(make.icc_grey(1)))), [right] * 3)


def test_an_rgb_profile_of_a_grey_picture_holds_for_r_g_and_b():
    right = make.encode_srgb((100 / 255) ** 1.8)
    assert near(read(make.png([[100]], 8, 0, make.iccp(P3))), [right] * 3)


def odd_press(c: int, m: int, y: int, k: int) -> tuple[float, float, float]:
    """A press whose cyan ink is green: sRGB (0, 200, 60); all else is white."""
    return make.srgb_to_lab([0, 200, 60] if (c, m, y, k) == (1, 0, 0, 0) else [255, 255, 255])


@pytest.mark.parametrize("format", ["TIFF", "JPEG"])
def test_cmyk_profiles(format):
    press = make.icc_cmyk(odd_press)
    data = flat((255, 0, 0, 0), "CMYK", format, icc_profile=press)
    assert near(read(data), [0, 200, 60], 4)
    assert near(read(flat((0, 255, 0, 0), "CMYK", format, icc_profile=press)), [255, 255, 255], 4)


def test_srgb_profiles_change_no_number():
    numbers = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    for profile in (
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        make_profile(SRGB, None),
    ):
        file = io.BytesIO()
        Image.fromarray(numbers).save(file, "PNG", icc_profile=profile)
        np.testing.assert_array_equal(pictures.read_image(io.BytesIO(file.getvalue()), "x"), numbers)


@pytest.mark.parametrize(
    "profile",
    [b"no profile", P3[:100], P3[:200], P3[:36] + b"nope" + P3[40:], b"\0" * 200, P3[:140] + b"\xff" * 400],
)
def test_damaged_profiles_are_said(profile):
    for data in (
        make.png([[COLOUR]], 8, 2, make.iccp(profile)),
        make.tiff([[COLOUR]], 8, 2, {34675: (make.UNDEFINED, profile)}),
    ):
        assert read(data, DAMAGED) == COLOUR


def test_a_damaged_profile_of_cmyk_leaves_ideal_inks():
    assert read(flat((0, 0, 0, 0), "CMYK", "TIFF", icc_profile=b"no profile"), DAMAGED) == [255, 255, 255]


def test_packed_profiles_that_are_damaged_or_large():
    assert read(make.png([[COLOUR]], 8, 2, (b"iCCP", b"name\0\0not packed")), DAMAGED) == COLOUR
    assert read(make.png([[COLOUR]], 8, 2, (b"iCCP", b"")), DAMAGED) == COLOUR
    large = make.iccp(P3 + bytes(3 << 20))  # over the library's limit, not over ours
    assert near(
        read(make.png([[COLOUR]], 8, 2, large)), make.mix(make.P3_COLORANTS, (np.array(COLOUR) / 255) ** 1.8)
    )
    assert read(make.png([[COLOUR]], 8, 2, make.iccp(P3 + bytes(17 << 20))), DAMAGED) == COLOUR


def test_a_jpeg_whose_profile_lacks_a_part_is_said():
    data = flat(tuple(COLOUR), "RGB", "JPEG", quality=100, subsampling=0, icc_profile=P3 + bytes(70_000))
    first = data.index(b"ICC_PROFILE\0\1\2")
    length = int.from_bytes(data[first - 2 : first])
    assert near(read(data[: first - 4] + data[first - 2 + length :], DAMAGED), COLOUR, 2)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (make.png([[COLOUR]], 8, 2, make.iccp(make.icc_grey(1))), "for GRAY and it is RGB"),
        (make.png([[COLOUR]], 8, 2, make.iccp(make.icc_cmyk(odd_press))), "for CMYK and it is RGB"),
        (flat(COLOUR[0], "L", "TIFF", icc_profile=make.icc_cmyk(odd_press)), "for CMYK and it is grey"),
    ],
)
def test_a_profile_for_other_pictures_is_said(data, said):
    found = read(data, f"its colour profile is {said}: its colours are taken for sRGB")
    assert found[0] == COLOUR[0]


def gama(value: int) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", value)


def chrm(*points: float) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(p * 100_000) for p in points))


P3_POINTS = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
BT2020_COLORANTS = ((0.67348, 0.27904, -0.00193), (0.16566, 0.67534, 0.02998), (0.12505, 0.04561, 0.79685))


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    return make.png([[COLOUR]], 8, 2, *chunks)


def test_the_chunks_of_a_png():
    srgb, linear = COLOUR, make.encode_srgb(np.array(COLOUR) / 255)
    in_p3 = make.mix(make.P3_COLORANTS, make.decode_srgb(COLOUR))
    in_p3_linear = make.mix(make.P3_COLORANTS, np.array(COLOUR) / 255)
    own = (b"sRGB", b"\0")
    for data, right in (
        (png(gama(45455)), srgb),
        (png(gama(45455), chrm(*SRGB)), srgb),
        (png(gama(100_000)), linear),
        (png(own, gama(100_000)), srgb),
        (png(chrm(*P3_POINTS)), srgb),  # without gAMA it says too little
        (png(gama(45455), chrm(*P3_POINTS)), in_p3),
        (png(gama(100_000), chrm(*P3_POINTS)), in_p3_linear),
        (png((b"cICP", bytes([12, 13, 0, 1]))), in_p3),
        (png((b"cICP", bytes([12, 8, 0, 1])), own), in_p3_linear),
        (png((b"cICP", bytes([1, 13, 0, 1])), make.iccp(P3)), srgb),
        (png((b"cICP", bytes([9, 13, 0, 1]))), make.mix(BT2020_COLORANTS, make.decode_srgb(COLOUR))),
        (png(own, make.iccp(P3)), make.mix(make.P3_COLORANTS, (np.array(COLOUR) / 255) ** 1.8)),
    ):
        assert near(read(data), right), (data, right)
    grey = make.png([[100]], 8, 0, gama(100_000))
    assert near(read(grey), [make.encode_srgb(100 / 255)] * 3)
    for chunks in ([gama(0)], [gama(1)], [gama(60_000), chrm(*[0.3] * 8)], [gama(60_000), chrm(*[0] * 8)]):
        said = "its gAMA or cHRM says nothing possible: its colours are taken for sRGB"
        assert read(png(*chunks), said) == COLOUR


@pytest.mark.parametrize(
    ("codes", "said"),
    [((9, 16), r"HDR \(PQ\)"), ((9, 18), r"HDR \(HLG\)"), ((77, 13), "primaries 77, transfer 13")],
)
def test_colours_that_cannot_be_shown_are_refused(codes, said):
    with pytest.raises(MediaError, match=f"x: colours coded as {said} are not read; convert it to sRGB"):
        read(png((b"cICP", bytes([*codes, 0, 1]))))
    avif = flat(tuple(COLOUR), "RGB", "AVIF", quality=100)
    with pytest.raises(MediaError, match="are not read; convert it to sRGB"):
        read(code(avif, *codes))


def code(avif: bytes, primaries: int, transfer: int) -> bytes:
    """Write other codes into an AVIF's nclx."""
    place = avif.index(b"nclx") + 4
    return avif[:place] + struct.pack(">HH", primaries, transfer) + avif[place + 4 :]


def test_the_codes_of_an_avif_and_the_profiles_of_others():
    avif = flat(tuple(COLOUR), "RGB", "AVIF", quality=100)
    in_p3 = make.mix(make.P3_COLORANTS, make.decode_srgb(COLOUR))
    assert near(read(avif), COLOUR, 3) and near(read(code(avif, 1, 1)), COLOUR, 3)
    assert near(read(code(avif, 12, 13)), in_p3, 4)
    with_profile = make.mix(make.P3_COLORANTS, (np.array(COLOUR) / 255) ** 1.8)
    line = bytes([20, 60, 200, 0])
    assert near(read(make.bmp((1, [line]), 32, profile=P3)), with_profile)
    jp2 = flat(tuple(COLOUR), "RGB", "JPEG2000")
    place = jp2.index(b"colr")  # another colr, in the place of the enumerated one: header, then method 2
    box = struct.pack(">I", 11 + len(P3)) + b"colr\2\0\0" + P3
    head = jp2.index(b"jp2h")
    grown = int.from_bytes(jp2[head - 4 : head]) + len(box) - 15
    jp2 = jp2[: head - 4] + struct.pack(">I", grown) + jp2[head : place - 4] + box + jp2[place + 11 :]
    assert near(read(jp2), with_profile, 2)


def test_adobe_rgb_by_the_camera_s_word():
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    data = flat(tuple(COLOUR), "RGB", "JPEG", quality=100, subsampling=0, exif=exif)
    assert near(read(data), make.mix(make.ADOBE_COLORANTS, (np.array(COLOUR) / 255) ** (563 / 256)), 3)
    exif.get_ifd(0x8769)[0xA005] = {1: "R98"}
    data = flat(tuple(COLOUR), "RGB", "JPEG", quality=100, subsampling=0, exif=exif)
    assert near(read(data), COLOUR, 2)


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (b"link", "a link between two devices"),
        (b"nmcl", "a list of named colours"),
        (b"abst", "an effect"),
    ],
)
def test_a_profile_of_no_picture_is_said(kind, what):
    profile = P3[:12] + kind + P3[16:]
    said = f"its colour profile is {what}, of no picture: its colours are taken for sRGB"
    assert read(flat(tuple(COLOUR), "RGB", "PNG", icc_profile=profile), said) == COLOUR
