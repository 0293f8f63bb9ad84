"""Whether a picture shows a thing in the colour asked for, by its pixels alone."""

import numpy as np
from PIL import Image

from janus_cli.dataset.labels import SIZE
from janus_cli.dataset.pictures import HUES
from janus_cli.evaluation.measures import resize
from janus_cli.evaluation.scenes import find_background

# Chosen on drawings as they are and dyed, before any model was asked.
APART = 24  # least distance from the background, of 255 in any channel, of a pixel of the thing
COLOURED = 50  # least saturation and value, of 255, of a pixel that is no grey and no black
PALE = (140, 190)  # highest saturation and least value of a red that may be called pink as well
MOST = 0.6  # least share of the asked-for hue among the thing's coloured pixels
ENOUGH = 0.25  # and among all its pixels: a grey elephant with a pink ear is grey


def find_hue(picture: np.ndarray, hue: str) -> tuple[float, float]:
    """Find how much of the thing in a picture uint8 [64, 64, 3] has a hue (a key of HUES).

    Returns its shares of the coloured pixels, and of all pixels that are not background. A pixel has the hue
    of HUES that is nearest on the circle.
    """
    thing = np.abs(picture.astype(np.float32) - find_background(picture)).max(-1) > APART
    angle, saturation, value = np.moveaxis(np.array(Image.fromarray(picture).convert("HSV"), np.int16), -1, 0)
    coloured = thing & (saturation > COLOURED) & (value > COLOURED)
    far = np.abs(angle[..., None] - np.array(list(HUES.values())))
    nearest = np.minimum(far, 256 - far).argmin(-1)
    names = list(HUES)
    meant = nearest == names.index(hue)
    if hue == "pink":
        pale = (saturation < PALE[0]) & (value > PALE[1])
        meant |= (nearest == names.index("red")) & pale
    count = (meant & coloured).sum()
    return float(count / max(1, coloured.sum())), float(count / max(1, thing.sum()))


def has_hue(picture: np.ndarray, hue: str) -> bool:
    """Whether the thing in a picture uint8 [S, S, 3] has a hue (a key of HUES): mostly, and enough of it."""
    among_coloured, among_all = find_hue(resize(picture[None], SIZE)[0], hue)
    return among_coloured >= MOST and among_all >= ENOUGH


def drop_colour(pictures: np.ndarray) -> np.ndarray:
    """Make pictures uint8 [..., 3] grey, each pixel as its lightest channel: dyeing leaves that alone."""
    return np.repeat(pictures.max(-1, keepdims=True), 3, -1)
