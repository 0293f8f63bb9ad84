"""The table of pictures that are read: formats with their suffixes, and layouts of samples within each.

Data and the words for it, no decoding. What the table lists has a generated test file and its right pixel
in tests/media/test_picture_table.py; what it does not list is refused. docs/formats.md is written from it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """One file format."""

    name: str  # as Pillow calls it
    suffixes: tuple[str, ...]  # of the files that a folder is searched for
    orientation: str  # what turns the picture upright
    colours: str  # what says which colours its numbers mean; without it: sRGB
    several: str = ""  # what one file may hold several of


FORMATS = (
    Format("PNG", (".png", ".apng"), "EXIF (eXIf)", "cICP, iCCP, sRGB, gAMA with cHRM", "frames"),
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), "EXIF", "ICC; Adobe RGB by EXIF (R03)"),
    Format("MPO", (".mpo",), "EXIF", "ICC; Adobe RGB by EXIF (R03)", "pictures"),
    Format("WEBP", (".webp",), "EXIF", "ICC", "frames"),
    Format("GIF", (".gif",), "none", "none", "frames"),
    Format("BMP", (".bmp", ".dib"), "its own", "ICC (version 5)"),
    Format("TIFF", (".tif", ".tiff"), "its own tag", "ICC", "pages"),
    Format("PPM", (".ppm", ".pgm", ".pbm", ".pnm"), "none", "none"),
    Format("AVIF", (".avif",), "irot, imir", "ICC, nclx", "frames"),
    Format("HEIF", (".heic", ".heif", ".hif"), "irot, imir", "ICC, nclx", "pictures"),
    Format("TGA", (".tga",), "its own", "none"),
    Format("ICO", (".ico",), "none", "none", "sizes"),
    Format("QOI", (".qoi",), "none", "none"),
    Format("JPEG2000", (".jp2", ".j2k", ".jpx", ".j2c"), "none", "ICC"),
)
SUFFIXES = tuple(suffix for format in FORMATS for suffix in format.suffixes)


@dataclass(frozen=True)
class Layout:
    """How the samples of one picture are laid out."""

    colour: str  # grey, RGB, palette, CMYK, YCbCr, Lab
    bits: int  # of a sample
    alpha: str = ""  # alpha, premultiplied, colour key (one colour is transparent), unnamed (a sample more)
    form: str = ""  # what else is unusual: white is 0, float, signed, planes ...

    def __str__(self) -> str:
        words = [f"{self.colour} of {self.bits} bits"]
        if self.alpha:
            words.append({"unnamed": "an unnamed sample more"}.get(self.alpha, self.alpha))
        if self.form:
            words.append(self.form)
        return ", ".join(words)


@dataclass(frozen=True)
class Row:
    """Layouts of one format that differ in depth and alpha alone: every combination is read."""

    format: str
    colour: str
    bits: tuple[int, ...]
    alpha: tuple[str, ...] = ("",)
    form: str = ""

    def list_layouts(self) -> Iterator[Layout]:
        """List the layouts that this row stands for."""
        return (Layout(self.colour, b, a, self.form) for b in self.bits for a in self.alpha)


ROWS = (
    Row("PNG", "grey", (1, 2, 4, 8, 16), ("", "colour key")),
    Row("PNG", "grey", (8, 16), ("alpha",)),
    Row("PNG", "RGB", (8, 16), ("", "colour key", "alpha")),
    Row("PNG", "palette", (1, 2, 4, 8), ("", "alpha")),
    Row("JPEG", "grey", (8,)),
    Row("JPEG", "YCbCr", (8,)),
    Row("JPEG", "RGB", (8,)),
    Row("JPEG", "CMYK", (8,), form="Adobe's, inverted"),
    Row("JPEG", "YCCK", (8,), form="Adobe's, inverted"),
    Row("MPO", "YCbCr", (8,)),
    Row("MPO", "grey", (8,)),
    Row("WEBP", "RGB", (8,), ("", "alpha")),
    Row("GIF", "palette", (8,), ("", "alpha")),
    Row("BMP", "palette", (1, 4, 8)),
    Row("BMP", "RGB", (5, 8)),
    Row("BMP", "RGB", (8,), ("alpha",)),
    Row("TIFF", "grey", (1, 2, 4, 8, 16)),
    Row("TIFF", "grey", (1, 2, 4, 8, 16), form="white is 0"),
    Row("TIFF", "grey", (8,), ("alpha", "premultiplied")),
    Row("TIFF", "grey", (32,), form="float from 0 to 1"),
    Row("TIFF", "RGB", (8, 16), ("", "alpha", "premultiplied")),
    Row("TIFF", "RGB", (8,), form="planes"),
    Row("TIFF", "palette", (1, 2, 4, 8)),
    Row("TIFF", "palette", (8,), ("alpha",)),
    Row("TIFF", "CMYK", (8, 16)),
    Row("TIFF", "YCbCr", (8,)),
    Row("TIFF", "Lab", (8,)),
    Row("PPM", "grey", (1, 8, 16)),
    Row("PPM", "RGB", (8, 16)),
    Row("AVIF", "RGB", (8,), ("", "alpha")),
    Row("HEIF", "RGB", (8, 10, 12)),
    Row("HEIF", "RGB", (8,), ("alpha",)),
    Row("TGA", "grey", (8,)),
    Row("TGA", "palette", (8,)),
    Row("TGA", "RGB", (8,), ("", "alpha")),
    Row("ICO", "RGB", (8,), ("alpha",)),
    Row("QOI", "RGB", (8,), ("", "alpha")),
    Row("JPEG2000", "grey", (8, 16)),
    Row("JPEG2000", "grey", (8,), ("alpha",)),
    Row("JPEG2000", "RGB", (8,), ("", "alpha")),
)
READ = frozenset((row.format, layout) for row in ROWS for layout in row.list_layouts())


def advise(layout: Layout) -> str:
    """Say what a picture that is not read should be converted to."""
    kind = {"grey": "grey", "RGB": "RGB", "palette": "RGB"}.get(layout.colour, "RGB")
    return f"convert it to {kind} of 8 bits, as PNG"


def to_markdown() -> str:
    """Write the table as docs/formats.md shows it."""
    formats = [
        (f.name, " ".join(f.suffixes), f.orientation, f.colours, f.several or "one picture") for f in FORMATS
    ]
    layouts = [
        (r.format, r.colour, _join(map(str, r.bits)), _join(a or "none" for a in r.alpha), r.form)
        for r in ROWS
    ]
    return (
        _write_table(("format", "files", "upright by", "colours by", "holds"), formats)
        + "\n"
        + _write_table(("format", "colour", "bits a sample", "transparency", "form"), layouts)
    )


def _join(words: Iterable[str]) -> str:
    return ", ".join(words)


def _write_table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
