"""Pictures for training: drawings rendered when needed, then composed on the fly into scenes.

Knows pixels only: a `Scene` says what stands where, `compose` paints it. Captions are captions.py's.
Sprites are premultiplied RGBA, so that area averaging and pasting are exact.
"""

import hashlib
import io
import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from janus_cli.dataset.pack import LOOKS, STYLES, Concept
from janus_cli.errors import JanusError
from janus_cli.media.files import make_folder, write_errors

Track = Callable[[Iterable[int], str], Iterable[int]]  # shows how far a labelled loop is
SIZE = 256  # pixels per side of a rendered drawing
WHITE = (255, 255, 255)
BACKGROUNDS = {
    "blue": (66, 133, 244),
    "green": (52, 168, 83),
    "yellow": (251, 208, 60),
    "pink": (248, 180, 200),
    "gray": (150, 150, 155),
    "black": (25, 25, 30),
}
LEAST_COLOURED = 0.4  # of what is seen of a drawing; with less of it in colour, its greys are dyed
_DYE = ((40, 90, 200, 255), (0, 170, 170, 90))  # lightness -> saturation that a grey takes on, of 255
HUES = {"red": 0, "orange": 20, "yellow": 36, "green": 90, "blue": 150, "purple": 195, "pink": 228}  # of 256


@dataclass(frozen=True)
class Item:
    """One drawing in a scene; corner and side in 64ths of the picture, multiples of 8 in training."""

    drawing: int
    top: int = 0
    left: int = 0
    side: int = 64
    hue: str = ""  # a key of HUES, or as drawn


@dataclass(frozen=True)
class Scene:
    """What a picture shows."""

    items: tuple[Item, ...]
    background: str = ""  # a key of BACKGROUNDS, or white


def list_drawings(concepts: Sequence[Concept]) -> list[tuple[int, str]]:
    """List (concept number, style) of every drawing, in the order of the sprite file."""
    return [(i, style) for i, c in enumerate(concepts) for style in STYLES if style in c.drawings]


def list_looks(concepts: Sequence[Concept]) -> list[tuple[int, str]]:
    """List (concept number, set) of every drawing that is only looked at; they end the sprite file."""
    return [(i, look) for i, c in enumerate(concepts) for look in LOOKS if look in c.looks]


def render(svg: str, size: int = SIZE) -> np.ndarray:
    """Render one SVG as premultiplied RGBA uint8 [size, size, 4]. Raises JanusError without resvg-py."""
    try:
        import resvg_py
    except ImportError:
        raise JanusError("drawings are rendered by resvg-py: pip install 'janus-cli[train]'") from None
    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True)
    image = Image.open(io.BytesIO(png)).convert("RGBA")
    canvas = Image.new("RGBA", (size, size))
    canvas.paste(image, ((size - image.width) // 2, (size - image.height) // 2))
    pixels = np.asarray(canvas, np.uint16)
    alpha = pixels[..., 3:]
    return np.concatenate([(pixels[..., :3] * alpha + 127) // 255, alpha], -1).astype(np.uint8)


def list_svgs(concepts: Sequence[Concept]) -> list[str]:
    """List the drawings of `list_drawings` and then of `list_looks`, as SVG, by their numbers."""
    drawings = [concepts[c].drawings[style] for c, style in list_drawings(concepts)]
    return drawings + [concepts[c].looks[look] for c, look in list_looks(concepts)]


class Renderings:
    """Drawings as premultiplied RGBA uint8 [SIZE, SIZE, 4] by number, each rendered when first asked for.

    They are kept in a file of `folder`, named after what is drawn: checksums, then a place for each drawing.
    A rendering that a killed process or a full disk cut short does not fit its checksum and is made again.
    """

    _BYTES, _SUM = SIZE * SIZE * 4, 4

    def __init__(self, svgs: Sequence[str], folder: Path) -> None:
        self.svgs = svgs
        content = hashlib.sha256("\0".join(svgs).encode()).hexdigest()[:12]
        self.path = folder / f"sprites-{content}.bin"
        make_folder(folder)
        with write_errors(self.path):
            self.path.touch()
            self._file = self.path.open("r+b", buffering=0)

    def __len__(self) -> int:
        return len(self.svgs)

    def __getitem__(self, drawing: int) -> np.ndarray:
        found = self._read(drawing)
        return self.keep(drawing) if found is None else found

    def has(self, drawing: int) -> bool:
        """Tell whether a drawing has been rendered; whether wholly, `__getitem__` sees."""
        return any(os.pread(self._file.fileno(), self._SUM, drawing * self._SUM))

    def keep(self, drawing: int) -> np.ndarray:
        """Render a drawing and keep it. Raises MediaError where the disk is full."""
        pixels = render(self.svgs[drawing])
        data = pixels.tobytes()
        with write_errors(self.path):
            self._write(data, self._place(drawing))
            self._write(zlib.crc32(data).to_bytes(self._SUM, "little"), drawing * self._SUM)
        return pixels

    def _place(self, drawing: int) -> int:
        return len(self) * self._SUM + drawing * self._BYTES

    def _read(self, drawing: int) -> np.ndarray | None:
        number = self._file.fileno()
        said = os.pread(number, self._SUM, drawing * self._SUM)
        if len(said) < self._SUM or not any(said):
            return None
        data = os.pread(number, self._BYTES, self._place(drawing))
        if zlib.crc32(data).to_bytes(self._SUM, "little") != said:
            return None
        return np.frombuffer(data, np.uint8).reshape(SIZE, SIZE, 4)

    def _write(self, data: bytes, place: int) -> None:
        view = memoryview(data)
        while view:  # a disk that is nearly full takes less than it is given
            count = os.pwrite(self._file.fileno(), view, place)
            view, place = view[count:], place + count


def shrink(pixels: np.ndarray, side: int) -> np.ndarray:
    """Average areas of [..., S, S, C] uint8 to [..., side, side, C]; side divides S."""
    k = pixels.shape[-2] // side
    blocks = pixels.reshape(*pixels.shape[:-3], side, k, side, k, pixels.shape[-1])
    return np.round(blocks.mean((-4, -2), dtype=np.float32)).astype(np.uint8)


def tint(sprite: np.ndarray, hue: str) -> np.ndarray:
    """Turn every coloured pixel of a sprite to one hue; greys, black and white stay.

    Where most of it is grey or white these take the colour on as well, by `_DYE`: a pink elephant is pink.
    """
    alpha = sprite[..., 3:].astype(np.float32) / 255
    straight = np.clip(sprite[..., :3] / np.maximum(alpha, 1 / 255), 0, 255).astype(np.uint8)
    hsv = np.array(Image.fromarray(straight).convert("HSV"))
    coloured, seen = hsv[..., 1] > 40, sprite[..., 3] > 127
    if (coloured & seen).sum() < LEAST_COLOURED * seen.sum():
        taken = np.interp(hsv[..., 2], *_DYE).astype(np.uint8)
        dyed = ~coloured & (taken > 40)
        hsv[..., 1] = np.where(dyed, taken, hsv[..., 1])
        hsv[..., 2] = np.where(dyed, 127 + hsv[..., 2] // 2, hsv[..., 2])  # a dark yellow would be olive
        coloured = coloured | dyed
    hsv[..., 0] = np.where(coloured, HUES[hue], hsv[..., 0])
    rgb = np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))
    return np.concatenate([np.round(rgb * alpha).astype(np.uint8), sprite[..., 3:]], -1)


class Sprites:
    """Drawings by number and size, averaged from the full-size ones when first asked for."""

    def __init__(self, full: "np.ndarray | Renderings", svgs: Sequence[str] = ()):
        """`full`: drawings [N, SIZE, SIZE, 4]; `svgs`: what an array of them was rendered from."""
        self.full = full
        self.svgs = full.svgs if isinstance(full, Renderings) else svgs
        self.cache: dict[tuple[int, int], np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.full)

    def get(self, drawing: int, side: int) -> np.ndarray:
        """Get a drawing as premultiplied RGBA [side, side, 4]; one larger than SIZE is rendered each time."""
        if side > SIZE:
            return render(self.svgs[drawing], side)
        if side == SIZE:
            return self.full[drawing]
        key = drawing, side
        if key not in self.cache:
            exact = SIZE % side == 0
            self.cache[key] = shrink(self.full[drawing], side) if exact else self._resize(drawing, side)
        return self.cache[key]

    def _resize(self, drawing: int, side: int) -> np.ndarray:
        full = self.full[drawing]
        channels = [Image.fromarray(full[..., c]) for c in range(4)]
        box = Image.Resampling.BOX
        return np.stack([np.asarray(c.resize((side, side), box)) for c in channels], -1)


def compose(scene: Scene, sprites: Sprites, size: int = 64) -> np.ndarray:
    """Paint `scene` as RGB uint8 [size, size, 3]; size is a multiple of 64."""
    unit = size // 64
    canvas = np.empty((size, size, 3), np.uint8)
    canvas[:] = BACKGROUNDS.get(scene.background, WHITE)
    for item in scene.items:
        sprite = sprites.get(item.drawing, item.side * unit)
        sprite = tint(sprite, item.hue) if item.hue else sprite
        top, left, side = item.top * unit, item.left * unit, item.side * unit
        under = canvas[top : top + side, left : left + side].astype(np.uint16)
        light = (under * (255 - sprite[..., 3:].astype(np.uint16)) + 127) // 255
        canvas[top : top + side, left : left + side] = np.minimum(light + sprite[..., :3], 255)
    return canvas


def draw_scene(rng: np.random.Generator, drawings: np.ndarray) -> Scene:
    """Make up a scene without a caption: mostly one drawing, sometimes coloured, small, or in company."""
    background = str(rng.choice(list(BACKGROUNDS))) if rng.random() < 0.15 else ""
    hue = str(rng.choice(list(HUES))) if rng.random() < 0.08 else ""
    if rng.random() < 0.85:
        return Scene((Item(int(rng.choice(drawings)), hue=hue),), background)
    spots = [(t, left) for t in (0, 32) for left in (0, 32)]
    count = rng.integers(1, 5)
    places = [spots[int(i)] for i in rng.permutation(4)[:count]]
    items = [Item(int(rng.choice(drawings)), top, left, 32, hue) for top, left in places]
    return Scene(tuple(items), background)
