"""What the numbers of a picture mean, and how they become sRGB: ICC profiles, PNG's chunks, H.273's codes.

Knows profiles and Pillow's pictures; knows no file format's blocks. Pillow's colour management is Little CMS.
"""

import io
import struct
from typing import TYPE_CHECKING

from janus_cli.errors import MediaError
from janus_cli.media.notes import Note

if TYPE_CHECKING:
    from PIL import Image

MAX_PROFILE = 1 << 24  # bytes
# white, red, green, blue as CIE x, y
D65 = (0.3127, 0.3290)
SRGB = (*D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
ADOBE_RGB = (*D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
ADOBE_GAMMA = 563 / 256
# ITU-T H.273, table 2: colour primaries that are read (2: unspecified)
_PRIMARIES = {
    1: SRGB,
    2: SRGB,
    5: (*D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    9: (*D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    12: (*D65, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
}
# table 3: transfer characteristics, as an exponent, or None for sRGB's own curve. Pictures that say BT.709 or
# BT.601 (1, 6, 14, 15) or nothing (2) are shown with sRGB's curve by every browser.
_TRANSFERS = {1: None, 2: None, 6: None, 13: None, 14: None, 15: None, 4: 2.2, 5: 2.8, 8: 1.0}
# classes of profiles that say nothing of a picture's numbers (ICC.1:2022, 7.2.5)
_NO_COLOURS = {"link": "a link between two devices", "nmcl": "a list of named colours", "abst": "an effect"}
_FITS = {"RGB": ("RGB", "L"), "GRAY": ("L",), "CMYK": ("CMYK",), "Lab": ("LAB",)}


def make_profile(points: tuple[float, ...], gamma: float | None) -> bytes:
    """Make an ICC profile (version 4) of a display: white, red, green, blue as x, y; gamma: None for sRGB's.

    ICC.1:2022, matrix/TRC model, the white adapted to D50 by Bradford's matrix (annex E). Raises ValueError
    for primaries that span no triangle.
    """
    import numpy as np

    if min(points[1::2]) <= 0:
        raise ValueError("a colour without luminance")
    white, *colours = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in _pairs(points))
    matrix = np.stack(colours, axis=1)
    if abs(np.linalg.det(matrix)) < 1e-6:
        raise ValueError("primaries on a line")
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    d50 = np.array([0.9642, 1.0, 0.8249])
    adapt = np.linalg.inv(bradford) @ np.diag((bradford @ d50) / (bradford @ white)) @ bradford
    columns = adapt @ (matrix * np.linalg.solve(matrix, white))
    if gamma is None:
        curve = _pack_curve(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    else:
        curve = _pack_curve(0, gamma)
    tags = [(b"wtpt", _pack_xyz(d50)), *((n + b"TRC", curve) for n in (b"r", b"g", b"b"))]
    tags += [(n + b"XYZ", _pack_xyz(columns[:, i])) for i, n in enumerate((b"r", b"g", b"b"))]
    return _pack_profile(tags)


def _pairs(points: tuple[float, ...]) -> list[tuple[float, float]]:
    return list(zip(points[::2], points[1::2], strict=True))


def _pack_fixed(*values: float) -> bytes:
    """Pack numbers as s15Fixed16. Raises ValueError for what does not fit."""
    if not all(abs(v) < 1 << 15 for v in values):
        raise ValueError("a number beyond the profile's")
    return struct.pack(f">{len(values)}i", *(round(v * 65536) for v in values))


def _pack_xyz(values: "object") -> bytes:
    return b"XYZ \0\0\0\0" + _pack_fixed(*map(float, values))  # type: ignore[call-overload]


def _pack_curve(kind: int, *parameters: float) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + _pack_fixed(*parameters)


def _pack_profile(tags: list[tuple[bytes, bytes]]) -> bytes:
    """Lay out the header, the table of tags and their data."""
    table, body, at = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, data in tags:
        table += struct.pack(">4sII", name, at + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"\0\0\0\0", 0x04300000, b"mntr", b"RGB ", b"XYZ ")
    head = head.ljust(36, b"\0") + b"acsp"
    head = head.ljust(68, b"\0") + _pack_fixed(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + table + body


def find_coded_profile(primaries: int, transfer: int) -> bytes | None:
    """Make the profile that H.273's codes stand for; None for sRGB. Raises MediaError for unknown ones."""
    if primaries not in _PRIMARIES or transfer not in _TRANSFERS:
        what = {16: "HDR (PQ)", 18: "HDR (HLG)"}.get(transfer, f"primaries {primaries}, transfer {transfer}")
        raise MediaError(f"colours coded as {what} are not read; convert it to sRGB")
    points, gamma = _PRIMARIES[primaries], _TRANSFERS[transfer]
    return None if points == SRGB and gamma is None else make_profile(points, gamma)


def to_srgb(image: "Image.Image", profile: bytes | None, note: Note) -> "Image.Image":
    """Convert a picture of mode L, RGB, CMYK or LAB to RGB whose numbers mean sRGB.

    A profile that is damaged, or not for such a picture, is said with `note` and passed over: then, as
    without one, the numbers are taken for sRGB's, and CMYK's for ideal inks. Colours that sRGB lacks become
    the nearest that it has; what sets the tone is the profile's perceptual table.
    """
    if profile:
        converted = _convert_by(image, profile, note)
        if converted is not None:
            return converted
    return image if image.mode == "RGB" else image.convert("RGB")


def _convert_by(image: "Image.Image", profile: bytes, note: Note) -> "Image.Image | None":
    """Convert by an ICC profile; None where it cannot be used, or means sRGB as it is."""
    from PIL import Image, ImageCms

    if len(profile) > MAX_PROFILE:
        note(f"its colour profile of {len(profile):,} bytes is passed over: its colours are taken for sRGB")
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if (kind := source.profile.device_class.strip()) in _NO_COLOURS:
            note(f"its colour profile is {_NO_COLOURS[kind]}, of no picture: its colours are taken for sRGB")
            return None
        if image.mode not in _FITS.get(space, ()):
            of = {"L": "grey", "LAB": "Lab"}.get(image.mode, image.mode)
            note(f"its colour profile is for {space} and it is {of}: its colours are taken for sRGB")
            return None
        image = image.convert("RGB") if space == "RGB" else image
        transform = ImageCms.buildTransform(
            source, ImageCms.createProfile("sRGB"), image.mode, "RGB", ImageCms.Intent.PERCEPTUAL
        )
        if image.mode == "RGB" and _is_identity(transform):
            return image
        return ImageCms.applyTransform(image, transform) or Image.new("RGB", image.size)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        note("its colour profile is damaged: its colours are taken for sRGB")
        return None


def _is_identity(transform: "object") -> bool:
    """Tell whether a transform changes no colour by more than rounding, as sRGB's own profiles do."""
    import numpy as np
    from PIL import Image, ImageCms

    steps = np.arange(0, 256, 15).astype(np.uint8)
    probe = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 18, 3)
    seen = np.asarray(ImageCms.applyTransform(Image.fromarray(probe), transform))  # type: ignore[arg-type]
    return bool(np.abs(seen.astype(int) - probe).max() <= 2)
