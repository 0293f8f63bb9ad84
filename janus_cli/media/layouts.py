"""How one picture's samples are laid out, by its file's own words, and how they become colours and alpha.

Pillow's mode alone does not tell: it drops what it has no mode for (white that is 0, a transparent colour of
16 bits, planes). So each format's header is asked; what the table in picture_formats.py lacks is refused.
"""

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from janus_cli.errors import MediaError
from janus_cli.media.picture_ends import find_end, walk_boxes
from janus_cli.media.picture_formats import READ, Layout, advise
from janus_cli.media.png_chunks import Png

if TYPE_CHECKING:
    from PIL import Image

_COMPRESSIONS = (1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34925, 50000)  # of TIFFs
_PHOTOMETRIC = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "Lab"}
_SAMPLES = {"grey": 1, "palette": 1, "RGB": 3, "YCbCr": 3, "Lab": 3, "CMYK": 4}


def check_layout(format: str, layout: Layout) -> None:
    """Raise MediaError where the table of pictures that are read lacks this layout."""
    if (format, layout) not in READ:
        article = "an" if format[0] in "AIM" else "a"
        raise MediaError(f"{article} {format} picture ({layout}) is not read; {advise(layout)}")


def find_png_layout(png: Png) -> Layout:
    """Find the layout of a PNG."""
    colour = {0: "grey", 2: "RGB", 3: "palette", 4: "grey", 6: "RGB"}.get(png.kind, "colours")
    alpha = "alpha" if png.kind in (4, 6) or png.alphas else "colour key" if png.key else ""
    return Layout(colour, png.bits, alpha)


def find_layout(image: "Image.Image", data: bytes) -> Layout:
    """Find the layout of the picture where `image` stands, opened from `data`; no PNG."""
    return _FINDERS[str(image.format)](image, data)


def _find_jpeg(image: Any, data: bytes) -> Layout:
    count, transform = image.layers, image.info.get("adobe_transform")
    if count == 4:
        if "adobe" not in image.info:
            return Layout("CMYK", 8, form="without Adobe's marker")
        return Layout("YCCK" if transform == 2 else "CMYK", 8, form="Adobe's, inverted")
    if count == 3:
        named = [layer[0] for layer in image.layer] == [*b"RGB"] and "jfif" not in image.info
        return Layout("RGB" if transform == 0 or named else "YCbCr", image.bits)
    return Layout("grey", image.bits)


def _find_tiff(image: Any, data: bytes) -> Layout:
    tags = image.tag_v2
    photometric = tags.get(262, 0)
    colour = _PHOTOMETRIC.get(photometric, f"colours of kind {photometric}")
    count = tags.get(277, 1)
    depths = tags.get(258, (1,))
    forms = [] if photometric else ["white is 0"]
    sample_kinds = set(tags.get(339, (1,)))
    if sample_kinds != {1}:
        forms.append("float from 0 to 1" if sample_kinds == {3} else "signed")
    if len(set(depths)) > 1:
        forms.append("depths that differ")
    if tags.get(284, 1) == 2 and count > 1:
        forms.append("planes")
    if (compression := tags.get(259, 1)) not in _COMPRESSIONS:
        forms.append(f"compression {compression}")
    if 0xC612 in tags or (
        tags.get(254, 0) & 1 and 330 in tags
    ):  # DNG's version; a preview, the photo elsewhere
        forms.append("the preview of a raw photo")
    if depths[0] > 16 and compression != 1 and tags.prefix == b"MM":
        forms.append("packed in big-endian order")  # which Pillow takes for the machine's
    if colour == "YCbCr" and compression != 7 and tuple(tags.get(530, (2, 2))) != (1, 1):
        forms.append("subsampled")
    if colour == "CMYK" and tags.get(332, 1) != 1:
        forms.append("other inks")
    return Layout(colour, depths[0], _find_tiff_alpha(tags, colour, count), ", ".join(forms))


def _find_tiff_alpha(tags: Any, colour: str, count: int) -> str:
    more = count - _SAMPLES.get(colour, count)
    if more == 0:
        return ""
    kinds = tuple(tags.get(338, ()))
    return (
        {(1,): "premultiplied", (2,): "alpha"}.get(kinds, "unnamed") if more == 1 else f"{more} more samples"
    )


def _find_bmp(image: Any, data: bytes) -> Layout:
    if data[14] == 12:
        bits, packed = struct.unpack_from("<H", data, 24)[0], 0
    else:
        bits, packed = struct.unpack_from("<HI", data, 28)
    if packed not in (0, 1, 2, 3):
        return Layout("colours", bits, form=f"compression {packed}")
    if bits <= 8:
        return Layout("palette", bits)
    return Layout("RGB", 5 if bits == 16 else 8, "alpha" if image.mode == "RGBA" else "")


def _find_netpbm(image: Any, data: bytes) -> Layout:
    kind = data[1:2]
    if kind in b"14":
        return Layout("grey", 1)
    bits = 16 if image.mode.startswith("I") or b"65535" in data[:64].split() else 8
    return Layout("RGB" if kind in b"36" else "grey", bits) if kind in b"2356" else Layout("colours", bits)


def _find_tga(image: Any, data: bytes) -> Layout:
    kind, bits, alpha_bits = data[2] & 7, data[16], data[17] & 15
    if kind == 1:
        return Layout("palette", bits, "" if data[7] == 24 else "alpha")
    if kind == 3:
        return Layout("grey", 8 if bits in (8, 16) else bits, "alpha" if bits == 16 else "")
    if bits == 32 and not alpha_bits:
        return Layout("RGB", 8, "unnamed")
    return Layout("RGB", 8 if bits >= 24 else 5, "alpha" if bits == 32 else "")


def _find_jpeg2000(image: Any, data: bytes) -> Layout:
    """Read the codestream's SIZ: each component's depth, sign and subsampling; and the header's colours."""
    start = data.find(b"\xff\x4f\xff\x51")
    (count,) = struct.unpack_from(">H", data, start + 40)
    parts = {struct.unpack_from(">3B", data, start + 42 + 3 * i) for i in range(count)}
    depth, across, down = max(parts)
    bits = (depth & 127) + 1
    forms = []
    if len(parts) > 1 or (across, down) != (1, 1):
        forms.append("subsampled")
    if depth & 128:
        forms.append("signed")
    colour, alpha = ("grey" if count < 3 else "RGB"), "alpha" if count in (2, 4) else ""
    for kind, first, _ in _list_header_boxes(data):
        if kind == b"pclr":
            colour = "palette"
        elif kind == b"colr" and data[first] == 1:
            (code,) = struct.unpack_from(">I", data, first + 3)
            if code not in (16, 17):
                colour, alpha = {12: "CMYK", 18: "YCbCr"}.get(code, f"colours of kind {code}"), ""
        elif kind == b"colr" and data[first] != 2:
            forms.append("colours of another kind")
    return Layout(colour, bits, alpha, ", ".join(forms))


def _list_header_boxes(data: bytes) -> list[tuple[bytes, int, int]]:
    """List the boxes of a JP2's header; none of a bare codestream."""
    if data[:2] == b"\xff\x4f":
        return []
    for kind, first, last in walk_boxes(data, 0, len(data)):
        if kind == b"jp2h":
            return list(walk_boxes(data, first, last))
    return []


def find_jp2_profile(data: bytes) -> bytes | None:
    """Find the ICC profile in a JP2's header."""
    for kind, first, last in _list_header_boxes(data):
        if kind == b"colr" and data[first] == 2:
            return data[first + 3 : last]
    return None


def find_heif_properties(data: bytes) -> dict[bytes, list[bytes]]:
    """List the properties of an AVIF's or HEIF's items, by kind: colr, av1C, pixi ... (ISO 23008-12, 9.3)."""
    found: dict[bytes, list[bytes]] = {}

    def walk(start: int, stop: int) -> None:
        for kind, first, last in walk_boxes(data, start, stop):
            if kind in (b"meta", b"iprp", b"ipco"):
                walk(first + (4 if kind == b"meta" else 0), last)
            else:
                found.setdefault(kind, []).append(data[first : min(last, first + 32)])

    walk(0, find_end(data, "HEIF") or 0)
    return found


def _find_avif(image: Any, data: bytes) -> Layout:
    depths = [
        12 if box[2] & 0x20 else 10 if box[2] & 0x40 else 8
        for box in find_heif_properties(data).get(b"av1C", [])
        if len(box) > 2
    ]
    return Layout("RGB", max(depths, default=8), "alpha" if image.mode.endswith("A") else "")


def _find_heif(image: Any, data: bytes) -> Layout:
    return Layout("RGB", image.info.get("bit_depth", 8), "alpha" if image.mode.endswith("A") else "")


def _find_qoi(image: Any, data: bytes) -> Layout:
    return Layout("RGB", 8, "alpha" if data[12] == 4 else "")


_FINDERS: dict[str, Callable[[Any, bytes], Layout]] = {
    "JPEG": _find_jpeg,
    "MPO": _find_jpeg,
    "WEBP": lambda image, data: Layout("RGB", 8, "alpha" if image.mode == "RGBA" else ""),
    "GIF": lambda image, data: Layout("palette", 8, "alpha" if "transparency" in image.info else ""),
    "BMP": _find_bmp,
    "TIFF": _find_tiff,
    "PPM": _find_netpbm,
    "AVIF": _find_avif,
    "HEIF": _find_heif,
    "TGA": _find_tga,
    "ICO": lambda image, data: Layout("RGB", 8, "alpha"),
    "QOI": _find_qoi,
    "JPEG2000": _find_jpeg2000,
}


# ---- samples to colours and alpha


def split_alpha(
    image: "Image.Image", layout: Layout, key: tuple[int, ...] | None = None, low: "np.ndarray | None" = None
) -> "tuple[Image.Image, Image.Image | None]":
    """Split a decoded picture into its colours, of mode L, RGB, CMYK or LAB, and its alpha, of mode L.

    key: the samples of the one transparent colour, as the file has them; low: the low bytes of RGB of 16
    bits, of which Pillow keeps the high ones. Raises MediaError for floats that are not on [0, 1].
    """
    from PIL import Image

    if image.mode == "F":
        return Image.fromarray(_scale_floats(np.asarray(image, np.float32))), None
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.uint16)
        wide = 65535 - wide if layout.form == "white is 0" else wide
        narrow = Image.fromarray(((wide.astype(np.uint32) + 128) // 257).astype(np.uint8))
        return narrow, _hide(wide[..., None], key)
    if key is not None:
        samples = np.atleast_3d(np.asarray(image.convert("L") if image.mode == "1" else image))
        if low is not None:
            samples = samples.astype(np.uint16) << 8 | low
        scale = 1 if layout.bits >= 8 else 255 // ((1 << layout.bits) - 1)
        return image.convert("L") if image.mode == "1" else image, _hide(
            samples, tuple(k * scale for k in key)
        )
    if image.mode in ("LA", "La"):
        layer = image.convert("LA")
        return layer.getchannel("L"), layer.getchannel("A")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return layer.convert("RGB"), layer.getchannel("A")
    if image.mode in ("L", "RGB", "CMYK", "LAB"):
        return image, None
    return image.convert("L" if image.mode == "1" else "RGB"), None


def _hide(samples: np.ndarray, key: tuple[int, ...] | None) -> "Image.Image | None":
    """Make the alpha of samples [H, W, C] whose colour `key` is transparent."""
    from PIL import Image

    if key is None:
        return None
    return Image.fromarray(np.where((samples == np.array(key)).all(axis=-1), 0, 255).astype(np.uint8))


def _scale_floats(values: np.ndarray) -> np.ndarray:
    """Scale floats on [0, 1] to uint8. Raises MediaError for any other: nobody knows where their white is."""
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # NaN too
        raise MediaError(
            f"floats from {low:g} to {high:g}: only those from 0 to 1 are read; scale it, or convert it "
            "to 8 bits"
        )
    return (values * 255 + 0.5).astype(np.uint8)
