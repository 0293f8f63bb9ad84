"""Pictures in and out: bytes and files on one side, numpy arrays on the other.

Knows picture formats (how a file is read and written at all is in files.py), no tokens and no nets.
Pictures are uint8 [H, W, 3].
"""

import contextlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from janus_cli.errors import MediaError, RecordError
from janus_cli.media.files import read_bytes
from janus_cli.media.sniff import is_safetensors

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 100_000_000  # of one picture; more is taken for a decompression bomb
MAX_EXIF = 65_000  # bytes of metadata that one JPEG marker can hold, less its frame
# What Pillow may try. Its other plugins start programs (EPS) or open rare, little-tested formats.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "TGA", "ICO", "QOI", "MPO", "JPEG2000")
_USER_COMMENT = 0x9286  # Exif 2.3, 4.6.5; starts with 8 bytes that name the character code
_EXIF_IFD = 0x8769
_OPTIONS: dict[str, dict[str, int | bool]] = {
    "png": {"compress_level": 6},
    "jpeg": {"quality": 95, "subsampling": 0},
    "webp": {"quality": 95, "method": 4},
}
FRAME_MS = 80  # of an animation
LAST_FRAME_MS = 2000


# ---- in


def read_image(source: Path | BinaryIO, name: str) -> np.ndarray:
    """Read a picture as uint8 [H, W, 3], of any mode: upright by its EXIF, transparency over white.

    Of an animation, the first frame. Raises MediaError for what is no picture, damaged or too large.
    """
    from PIL import ImageOps

    with _open_image(read_bytes(source, name), name) as image:
        with contextlib.suppress(Exception):  # of any kind: a good picture is worth more than its broken EXIF
            ImageOps.exif_transpose(image, in_place=True)  # turns it first, and then edits the EXIF
        return _to_rgb(image)


def read_image_metadata(source: Path | BinaryIO, name: str = "") -> dict[str, str]:
    """Read the texts in a picture: PNG text chunks, or what `image_bytes` put into JPEG's or WebP's EXIF."""
    name = name or str(source)
    with _open_image(read_bytes(source, name), name) as image:
        texts = getattr(image, "text", None)
        if texts is not None:
            return {str(key): str(value) for key, value in texts.items()}
        with contextlib.suppress(Exception):  # a stranger's EXIF may hold anything; then it is not ours
            comment = image.getexif().get_ifd(_EXIF_IFD)[_USER_COMMENT]
            found = json.loads(comment[8:].decode("ascii"))
            return {key: value for key, value in found.items() if isinstance(value, str)}
        return {}


@contextlib.contextmanager
def _open_image(data: bytes, name: str) -> Iterator["Image.Image"]:
    """Open and decode a picture; any trouble inside the block becomes a MediaError that names the file."""
    import warnings

    from PIL import Image, UnidentifiedImageError

    Image.init()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # stderr is for us; sizes are checked below, before any decoding
            with Image.open(io.BytesIO(data), formats=[f for f in FORMATS if f in Image.OPEN]) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise MediaError(
                        f"{name}: {image.width} x {image.height} pixels; at most {MAX_PIXELS:,} are allowed"
                    )
                image.load()
                yield image
    except MediaError:
        raise
    except UnidentifiedImageError:
        hint = "is it a token record?" if is_safetensors(data) else f"known are {', '.join(FORMATS[:6])}"
        raise MediaError(f"{name}: not a picture that can be read; {hint}") from None
    except Image.DecompressionBombError:
        raise MediaError(f"{name}: too large; at most {MAX_PIXELS:,} pixels are allowed") from None
    except Exception as error:  # on damaged files Pillow's decoders raise nearly every built-in exception
        raise MediaError(f"{name}: a damaged picture ({' '.join(str(error).split())[:200]})") from None


def _to_rgb(image: "Image.Image") -> np.ndarray:
    """Convert a picture of any mode to uint8 [H, W, 3], transparency over white."""
    from PIL import Image

    if image.mode == "F":  # float samples: on [0, 1] or on [0, 255], by what is there
        values = np.nan_to_num(np.asarray(image, np.float32))
        return _to_gray(values * 255 if values.max(initial=0) <= 1 else values)
    if image.mode.startswith("I"):  # 16 bits, by way of Pillow's "I;16", "I;16B" or "I"
        return _to_gray(np.asarray(image).astype(np.float32) / 257)
    if not image.has_transparency_data:
        return np.array(image.convert("RGB"))
    layer = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(layer, mask=layer.getchannel("A"))
    return np.array(white)


def _to_gray(values: np.ndarray) -> np.ndarray:
    """Convert numbers [H, W] on [0, 255] to uint8 [H, W, 3]."""
    return np.repeat(np.clip(values + 0.5, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


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
    file = io.BytesIO()
    try:
        Image.fromarray(np.ascontiguousarray(pixels)).save(file, format, **_OPTIONS[format], **extra)
    except (OSError, ValueError) as error:  # larger than the format allows
        size = f"{pixels.shape[1]} x {pixels.shape[0]}"
        raise MediaError(f"{size} pixels cannot be written as {format} ({error})") from None
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
