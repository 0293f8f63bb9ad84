"""Pictures in and out: bytes and files on one side, numpy arrays on the other.

Knows picture formats (how a file is read and written at all is in files.py), no tokens and no nets.
Pictures are uint8 [H, W, 3].
"""

import contextlib
import io
import json
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from janus_cli.errors import MediaError, RecordError
from janus_cli.media.c_messages import keep_messages
from janus_cli.media.colours import (
    ADOBE_GAMMA,
    ADOBE_RGB,
    find_coded_profile,
    make_profile,
    to_srgb,
)
from janus_cli.media.files import read_bytes
from janus_cli.media.layouts import (
    check_layout,
    find_heif_properties,
    find_jp2_profile,
    find_layout,
    find_png_layout,
    split_alpha,
)
from janus_cli.media.notes import Note, warn
from janus_cli.media.picture_ends import CutOffError, cut_gif, find_bmp_profile, find_end, walk_gif
from janus_cli.media.picture_formats import FORMATS, Layout
from janus_cli.media.png_chunks import check_pixels, read_png, read_profile, read_texts
from janus_cli.media.sniff import HEAD, is_safetensors, sniff

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 100_000_000  # of one picture; more is taken for a decompression bomb
MAX_EXIF = 65_000  # bytes of metadata that one JPEG marker can hold, less its frame
_KNOWN = [format.name for format in FORMATS if format.name != "MPO"]
_USER_COMMENT = 0x9286  # Exif 2.3, 4.6.5; starts with 8 bytes that name the character code
_EXIF_IFD = 0x8769
_INTEROPERABILITY = 0xA005
_ORIENTATION = 0x0112
_OPTIONS: dict[str, dict[str, int | bool]] = {
    # zlib's Z_RLE: what nets draw hardly repeats itself. To search for repeats takes three to seven times as
    # long, and makes 512 px of a drawing 0 to 4 % larger, a photograph 5 %.
    "png": {"compress_level": 6, "compress_type": 3},
    "jpeg": {"quality": 95, "subsampling": 0},
    "webp": {"quality": 95, "method": 4},
}
_REPEATS = (
    30  # a PNG smaller than the picture by this factor has repeats: a search for them pays, and is short
)
_AT_ONCE = 256  # rows that are copied out of a picture together
FRAME_MS = 80  # of an animation
LAST_FRAME_MS = 2000


# ---- in


@dataclass(frozen=True)
class Frame:
    """One of the pictures in a file, as a viewer shows it."""

    pixels: np.ndarray = field(repr=False)  # uint8 [H, W, 3]
    number: int  # from 1
    count: int  # of pictures in the file
    what: str  # what its format calls them: frames, pages, sizes, pictures


def read_image(source: Path | BinaryIO, name: str, note: Note = warn) -> np.ndarray:
    """Read a picture as uint8 [H, W, 3] in sRGB, upright, transparency over white; the first of several.

    What picture_formats.py lists is read. `note` is told what was passed over: further frames, bytes behind
    the end, a damaged profile. Raises MediaError for what is no picture, not listed, cut off, too large,
    damaged, or has another picture behind its end.
    """
    frame = next(read_frames(source, name, note))
    if frame.count > 1:
        note(f"{name}: {describe_several(frame)}")
    return frame.pixels


def describe_several(frame: Frame) -> str:
    """Say that a file holds more than the picture that was read of it."""
    return f"{frame.count} {frame.what}, {'the largest' if frame.what == 'sizes' else 'the first'} is read"


def read_frames(source: Path | BinaryIO, name: str, note: Note = warn) -> Iterator[Frame]:
    """Read the pictures in a file one after another, each when it is asked for, as `read_image` reads one.

    Frames of an animation come composited, pages as they are, sizes of an icon from the largest.
    """
    data = read_bytes(source, name)
    with _picture_errors(name):
        reader = _Reader(data, name, note)
    frames, last = reader.read(), None
    while True:
        with _picture_errors(f"{name}, {last.number + 1} of {last.count} {last.what}" if last else name):
            last = next(frames, None)
        if last is None:
            return
        yield last


def read_image_metadata(source: Path | BinaryIO, name: str = "") -> dict[str, str]:
    """Read the texts in a picture: PNG text chunks, or what `image_bytes` put into JPEG's or WebP's EXIF."""
    name = name or str(source)
    data = read_bytes(source, name)
    with _picture_errors(name):
        if data.startswith(b"\x89PNG"):
            return read_texts(data)
        with _open_image(data, find_format(data, name), load=False) as image:
            return _read_comment(image)


def _read_comment(image: "Image.Image") -> dict[str, str]:
    with contextlib.suppress(Exception):  # a stranger's EXIF may hold anything; then it is not ours
        comment = image.getexif().get_ifd(_EXIF_IFD)[_USER_COMMENT]
        found = json.loads(comment[8:].decode("ascii"))
        return {key: value for key, value in found.items() if isinstance(value, str)}
    return {}


def find_format(data: bytes, name: str) -> str:
    """Tell a picture's format by its first bytes, Targa's by its name or footer. Raises MediaError."""
    kind = sniff(data[:HEAD])
    if kind is not None and kind.media == "picture":
        if kind.format == "HEIF" and re.search(rb"avi[fs]", data[8 : 8 + min(data[3], 200)]):
            return "AVIF"
        return kind.format
    if b"TRUEVISION-XFILE." in data[-18:] or Path(name).suffix.lower() == ".tga":
        return "TGA"
    if is_safetensors(data):
        raise MediaError("not a picture that can be read; is it a token record?")
    what = f"{kind.name}; " if kind is not None else ""
    known = ", ".join(_KNOWN)
    raise MediaError(f"{what}not a picture that can be read ({known}): convert it to PNG")


class _Reader:
    """Reads the pictures of one file."""

    def __init__(self, data: bytes, name: str, note: Note) -> None:
        self.data, self.name = data, name
        self._note, self._said = note, set[str]()
        self.format = find_format(data, name)
        self.what = next((f.several for f in FORMATS if f.name == self.format), "") or "pictures"

    def note(self, text: str) -> None:
        """Say something of the file, once."""
        if text not in self._said:
            self._said.add(text)
            self._note(f"{self.name}: {text}")

    def read(self) -> Iterator[Frame]:
        """Read all pictures; what lies behind the last one is said or refused first."""
        read = {"PNG": self.read_png, "GIF": self.read_gif, "ICO": self.read_icon}.get(self.format)
        if read is not None:
            self.check_end()
        for number, (image, count) in enumerate(read() if read else self.read_pages(), 1):
            yield Frame(_copy_pixels(image), number, count, self.what)

    def check_end(self, format: str = "") -> None:
        """Account for all bytes: note those behind the picture, refuse a picture among them, or a cut one."""
        end = find_end(self.data, format or self.format)
        rest = self.data[end:] if end is not None else b""
        if end is None and self.format == "GIF":
            self.note("its end mark is missing: it may be cut off")
        if not rest.strip(b"\0\r\n"):  # nothing, or what writers and mail put behind a file
            return
        found = [sniff(start[:HEAD]) for start in (rest, rest[:4096].lstrip(b"\0\r\n"))]
        if kind := next((kind for kind in found if kind is not None and kind.media == "picture"), None):
            where = len(self.data) - len(rest)
            raise MediaError(f"{kind.name} follows the picture's end at byte {where:,}: make files of them")
        what, are = ("1 byte", "is") if len(rest) == 1 else (f"{len(rest):,} bytes", "are")
        self.note(f"{what} behind the picture's end {are} no part of it, and {are} passed over")

    def read_pages(self) -> "Iterator[tuple[Image.Image, int]]":
        """Read a picture, and further pages or frames where there are such; Pillow decodes each whole."""
        with _open_image(self.data, self.format, load=False) as image:
            self.check_end(str(image.format))
            count = getattr(image, "n_frames", 1)
            first = image.tell() if image.format == "HEIF" else 0  # the one that its file calls primary
            for place in (first, *(i for i in range(count) if i != first)):
                if count > 1:
                    image.seek(place)
                _check_size(image.size)
                _load(image)
                layout = find_layout(image, self.data)
                check_layout(str(image.format), layout)
                profile = self.find_profile(image)
                yield turn_upright(image, self.flatten(image, layout, profile)), count

    def find_profile(self, image: "Image.Image") -> bytes | None:
        """Find the colour profile of the picture where `image` stands; None for sRGB."""
        if profile := image.info.get("icc_profile"):
            return profile
        if "icc_profile" in image.info and image.format in ("JPEG", "MPO"):
            self.note("its colour profile is damaged: its colours are taken for sRGB")
        if image.format in ("AVIF", "HEIF"):
            for box in find_heif_properties(self.data).get(b"colr", []):
                if box.startswith(b"nclx"):
                    return find_coded_profile(*struct.unpack_from(">HH", box, 4))
        if image.format == "JPEG2000":
            return find_jp2_profile(self.data)
        if image.format == "BMP":
            return self.data[slice(*find_bmp_profile(self.data))] or None
        if image.format in ("JPEG", "MPO"):
            with contextlib.suppress(Exception):  # of a stranger's EXIF
                if str(image.getexif().get_ifd(_INTEROPERABILITY)[1]).startswith("R03"):
                    return make_profile(ADOBE_RGB, ADOBE_GAMMA)
        return None

    def flatten(self, image: "Image.Image", layout: Layout, profile: bytes | None) -> "Image.Image":
        """Convert a decoded picture to RGB in sRGB, its transparency over white."""
        colours, alpha = split_alpha(image, layout)
        return lay_on_white(to_srgb(colours, profile, self.note), alpha)

    def read_png(self) -> "Iterator[tuple[Image.Image, int]]":
        """Read a PNG, and the frames of an animated one as they build up."""
        png = read_png(self.data)
        _check_size((png.width, png.height))
        layout = find_png_layout(png)
        check_layout("PNG", layout)
        profile = read_profile(self.data, self.note)
        canvas = Canvas(png.width, png.height) if len(png.frames) > 1 else Canvas(0, 0)
        for i, frame in enumerate(png.frames):
            _check_size(frame.box[2:])
            check_pixels(frame.data)
            with _open_image(frame.data, "PNG") as image:
                low = _read_low_bytes(frame.data) if layout == Layout("RGB", 16, "colour key") else None
                colours, alpha = split_alpha(image, layout, png.key, low)
                colours = to_srgb(colours, profile, self.note)
                if i == 0 and (png.still or len(png.frames) == 1):
                    shown = lay_on_white(colours, alpha)
                else:
                    disposal = {1: 2, 2: 3}.get(frame.disposal, 0)
                    shown = canvas.show(add_alpha(colours, alpha), frame.box[:2], disposal, frame.over)
                yield turn_upright(image, shown), len(png.frames)

    def read_gif(self) -> "Iterator[tuple[Image.Image, int]]":
        """Read a GIF's frames as they build up; where no frame has been, it is transparent."""
        frames, _ = walk_gif(self.data)
        if not frames:
            raise ValueError("no picture in it")
        width, height = struct.unpack_from("<HH", self.data, 6)
        width, height = max(width, frames[0].box[2]), max(height, frames[0].box[3])
        _check_size((width, height))
        canvas = Canvas(width, height)
        for frame in frames:
            _check_size(frame.box[2:])
            with _open_image(cut_gif(self.data, frame), "GIF") as image:
                check_layout("GIF", find_layout(image, b""))
                layer = image.convert("RGBA")
                yield canvas.show(layer, frame.box[:2], frame.disposal, True), len(frames)

    def read_icon(self) -> "Iterator[tuple[Image.Image, int]]":
        """Read the pictures of an icon, the largest first: each a PNG of its own, or a bitmap with a mask."""
        with _open_image(self.data, "ICO", load=False) as icon:
            entries = icon.ico.entry  # type: ignore[attr-defined]
            for i, entry in enumerate(entries):
                data = self.data[entry.offset : entry.offset + entry.size]
                if data.startswith(b"\x89PNG"):
                    inside = next(_Reader(data, self.name, self._note).read_png())[0]
                else:
                    _check_size(entry.dim)
                    image = icon.ico.frame(i)  # type: ignore[attr-defined]
                    _check_size(image.size)
                    image.load()
                    inside = self.flatten(image, Layout("RGB", 8, "alpha"), None)
                yield inside, len(entries)


class Canvas:
    """What an animation paints on: each frame is laid on it, shown, and taken away as it asks."""

    def __init__(self, width: int, height: int) -> None:
        from PIL import Image

        self.image = Image.new("RGBA", (width, height))

    def show(self, layer: "Image.Image", place: tuple[int, ...], disposal: int, over: bool) -> "Image.Image":
        """Lay a frame of mode RGBA at x, y, give the whole over white; disposal: 2 cleared, 3 as it was."""
        box = (place[0], place[1], place[0] + layer.width, place[1] + layer.height)
        before = self.image.copy() if disposal == 3 else None
        if over:
            from PIL import Image

            layer = Image.alpha_composite(self.image.crop(box), layer)
        self.image.paste(layer, box)
        shown = lay_on_white(self.image.convert("RGB"), self.image.getchannel("A"))
        if before is not None:
            self.image = before
        elif disposal == 2:
            self.image.paste((0, 0, 0, 0), box)
        return shown


def lay_on_white(image: "Image.Image", alpha: "Image.Image | None") -> "Image.Image":
    """Lay an RGB picture on white by its alpha; no alpha: as it is."""
    from PIL import Image

    if alpha is None:
        return image
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=alpha)
    return white


def add_alpha(image: "Image.Image", alpha: "Image.Image | None") -> "Image.Image":
    """Make an RGBA picture of an RGB one and its alpha; no alpha: opaque."""
    layer = image.convert("RGBA")
    if alpha is not None:
        layer.putalpha(alpha)
    return layer


def turn_upright(image: "Image.Image", shown: "Image.Image") -> "Image.Image":
    """Turn `shown` as the EXIF of `image` says; a TIFF has been turned by its reader."""
    from PIL import Image

    turn = Image.Transpose
    turns = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_270,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_90,
    }
    image.info.pop("xmp", None)  # a second place for it, which no browser asks
    with contextlib.suppress(Exception):  # of any kind: a good picture is worth more than its broken EXIF
        return shown.transpose(turns[image.getexif()[_ORIENTATION]])
    return shown


def _read_low_bytes(data: bytes) -> np.ndarray:
    """Read the low bytes of a PNG's RGB of 16 bits [H, W, 3]: Pillow's little-endian reading keeps those."""
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]
        return np.asarray(image)


def _copy_pixels(image: "Image.Image") -> np.ndarray:
    """Copy an RGB picture to uint8 [H, W, 3], some rows at a time: Pillow holds what it gives twice."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, _AT_ONCE):
        band = image.crop((0, top, image.width, min(top + _AT_ONCE, image.height)))
        pixels[top : top + _AT_ONCE] = np.asarray(band)
    return pixels


def _check_size(size: tuple[int, ...]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise MediaError(f"{width} x {height} pixels; at most {MAX_PIXELS:,} are allowed")


@contextlib.contextmanager
def _open_image(data: bytes, format: str, load: bool = True) -> Iterator["Image.Image"]:
    """Open a picture of a known format with Pillow, and decode it. Raises MediaError where it lacks that."""
    import logging

    from PIL import Image

    logging.getLogger("PIL").addHandler(logging.NullHandler())  # stderr is for us
    Image.init()
    if format == "HEIF":
        _add_heif()
    if format == "TIFF":
        _add_tiff()
    if format not in Image.OPEN:
        raise MediaError(f"this Pillow reads no {format}: pip install --upgrade pillow")
    formats = ["JPEG", "MPO"] if format == "JPEG" else [format]
    with Image.open(io.BytesIO(data), formats=formats) as image:
        _check_size(image.size)
        if load:
            _load(image)
        yield image


def _load(image: "Image.Image") -> None:
    """Decode a picture. libtiff writes of damage to stderr by itself; what is wrong is said by us."""
    with keep_messages() if image.format == "TIFF" else contextlib.nullcontext():
        image.load()


def _add_tiff() -> None:
    """Teach Pillow the one layout of the table that it has for little-endian TIFFs alone."""
    from PIL import TiffImagePlugin

    TiffImagePlugin.OPEN_INFO.setdefault((b"MM", 0, (1,), 1, (16,), ()), ("I;16B", "I;16B"))


def _add_heif() -> None:
    """Teach Pillow HEIF. Raises MediaError where the extra that does it is not installed."""
    try:
        import pillow_heif
    except ImportError:
        raise MediaError('HEIF needs another package: pip install "janus-cli[heif]"') from None
    pillow_heif.register_heif_opener(thumbnails=False)


@contextlib.contextmanager
def _picture_errors(name: str) -> Iterator[None]:
    """Turn any trouble with a picture inside the block into a MediaError that names the file."""
    import warnings

    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            for module in ("PIL", "pillow_heif"):  # stderr is for us; sizes are checked before any decoding
                warnings.filterwarnings("ignore", module=module)
            yield
    except MediaError as error:
        text = str(error)
        raise MediaError(text if text.startswith(f"{name}: ") else f"{name}: {text}") from None
    except CutOffError:
        raise MediaError(f"{name}: cut off: the file ends before the picture does") from None
    except Image.DecompressionBombError:
        raise MediaError(f"{name}: too large; at most {MAX_PIXELS:,} pixels are allowed") from None
    except UnidentifiedImageError:
        raise MediaError(
            f"{name}: damaged, or a kind of picture that is not read; convert it to RGB of 8 bits, as PNG"
        ) from None
    except MemoryError:  # says nothing of the file
        raise
    except Exception as error:  # on damaged files Pillow's decoders raise nearly every built-in exception
        raise MediaError(f"{name}: a damaged picture ({' '.join(str(error).split())[:200]})") from None


# ---- out


def image_bytes(pixels: np.ndarray, format: str, metadata: Mapping[str, str] | None = None) -> bytes:
    """Write uint8 [H, W, 3] as a file of `format` (png, jpeg, webp). The same input gives the same bytes.

    metadata: PNG text chunks; in JPEG and WebP one JSON object in the EXIF UserComment. Raises MediaError.
    """
    from PIL import Image, PngImagePlugin

    if format not in _OPTIONS:
        raise MediaError(f"unknown picture format {format!r} (known: {', '.join(_OPTIONS)})")
    extra: dict[str, object] = {}
    if metadata and format == "png":
        info = extra["pnginfo"] = PngImagePlugin.PngInfo()
        for key, value in metadata.items():
            (info.add_text if value.isascii() else info.add_itxt)(key, value)
    elif metadata:
        exif = Image.Exif()
        exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = b"ASCII\0\0\0" + json.dumps(dict(metadata)).encode("ascii")
        extra["exif"] = packed = exif.tobytes()
        if format == "jpeg" and len(packed) > MAX_EXIF:
            raise MediaError(f"parameters of {len(packed):,} bytes do not fit into a jpeg file: use png")
    image = Image.fromarray(np.ascontiguousarray(pixels))
    data = _save(image, format, **_OPTIONS[format], **extra)
    if format == "png" and len(data) * _REPEATS < pixels.nbytes:
        data = min(
            data, _save(image, format, compress_level=_OPTIONS[format]["compress_level"], **extra), key=len
        )
    return data


def _save(image: "Image.Image", format: str, **options: Any) -> bytes:
    """Write a picture as a file of `format`. Raises MediaError where it is larger than the format allows."""
    file = io.BytesIO()
    try:
        image.save(file, format, **options)
    except (OSError, ValueError) as error:
        raise MediaError(
            f"{image.width} x {image.height} pixels cannot be written as {format} ({error})"
        ) from None
    return file.getvalue()


def animation_bytes(frames: Sequence[np.ndarray], format: str) -> bytes:
    """Write pictures uint8 [H, W, 3] of one size as an endless animation (webp, gif, apng), the last held.

    GIF has 256 colours a frame, WebP is lossy, APNG is exact. Raises MediaError.
    """
    from PIL import Image

    if format not in ("webp", "gif", "apng"):
        raise MediaError(f"unknown animation format {format!r} (known: webp, gif, apng)")
    options: dict[str, int] = {"quality": 90, "method": 4} if format == "webp" else {}
    durations = [FRAME_MS] * (len(frames) - 1) + [LAST_FRAME_MS]
    first, *rest = [Image.fromarray(frame) for frame in frames]
    file = io.BytesIO()
    try:
        first.save(
            file,
            "png" if format == "apng" else format,
            save_all=True,
            append_images=rest,
            duration=durations,
            loop=0,
            **options,
        )
    except (OSError, ValueError) as error:
        raise MediaError(f"{len(frames)} frames cannot be written as {format} ({error})") from None
    return file.getvalue()


def pixels_to_image(pixels: np.ndarray) -> np.ndarray:
    """Join patches [rows, cols, P, P, 3] into a picture [rows * P, cols * P, 3]."""
    rows, cols, size = pixels.shape[:3]
    return np.ascontiguousarray(pixels.swapaxes(1, 2)).reshape(rows * size, cols * size, 3)


def image_to_pixels(image: np.ndarray, patch: int) -> np.ndarray:
    """Cut [H, W, 3] into patches [H / patch, W / patch, patch, patch, 3]. Raises MediaError for a rest."""
    height, width = image.shape[:2]
    if height % patch or width % patch or not height * width:
        raise MediaError(f"a picture of {width} x {height} pixels is no multiple of the patch, {patch}")
    split = image.reshape(height // patch, patch, width // patch, patch, 3)
    return np.ascontiguousarray(split.swapaxes(1, 2))


def resize(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 [H, W, 3] or [H, W, 4], antialiased; copy it where it has that size."""
    from PIL import Image

    if picture.shape[:2] == (height, width):
        return picture.copy()
    return np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def check_image(image: np.ndarray, name: str = "") -> None:
    """Raise MediaError for anything but a picture, uint8 [H, W, 3] with at least one pixel."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        what = f"{image.dtype} {list(image.shape)}"
        raise MediaError(f"{name or 'picture'}: expected uint8 [H, W, 3], found {what}")


def cut_to_size(image: np.ndarray, size: Any) -> np.ndarray:
    """Cut off what padded `image` [H, W, 3] up to a grid; `size` is the true [height, width] or None.

    Raises RecordError when `size` is no size within the image.
    """
    if size is None:
        return image
    full = image.shape[:2]
    whole = isinstance(size, list | tuple) and len(size) == 2 and all(type(n) is int for n in size)
    if not whole or not all(0 < n <= limit for n, limit in zip(size, full, strict=True)):
        raise RecordError(f"size {size!r} does not fit a picture of {list(full)} pixels")
    return image[: size[0], : size[1]]
