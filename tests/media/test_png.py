"""PNG that is written row by row: Pillow reads the same pixels and texts from it."""

import io

import numpy as np
import pytest
from PIL import Image

from janus_cli.media.pictures import image_bytes, read_image_metadata
from janus_cli.media.png import Rows, write_png

RNG = np.random.default_rng(0)
PICTURES = {
    "noise": RNG.integers(0, 256, (70, 33, 3), np.uint8),
    "one pixel": RNG.integers(0, 256, (1, 1, 3), np.uint8),
    "a column": RNG.integers(0, 256, (200, 1, 3), np.uint8),
    "flat": np.full((65, 40, 3), 200, np.uint8),
    "slopes": np.add.outer(np.add.outer(np.arange(130), 2 * np.arange(90)), [0, 80, 160]).astype(np.uint8),
}


def rows(image: np.ndarray, heights: int) -> Rows:
    bands = (image[y : y + heights] for y in range(0, len(image), heights))
    return Rows(*image.shape[:2], bands)


def written(image: np.ndarray, heights: int = 7, **metadata: str) -> bytes:
    file = io.BytesIO()
    write_png(file, rows(image, heights), metadata)
    return file.getvalue()


@pytest.mark.parametrize("image", PICTURES.values(), ids=PICTURES)
def test_pillow_reads_what_was_written(image):
    data = written(image)
    with Image.open(io.BytesIO(data)) as read:
        assert read.mode == "RGB" and np.array_equal(np.asarray(read), image)
    with Image.open(io.BytesIO(data)) as read:
        read.verify()  # every chunk's checksum


def test_bands_of_any_height_leave_the_same_picture():
    image = PICTURES["slopes"]
    assert written(image, 64) == written(image, 64)
    for heights in (1, 63, 130):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(written(image, heights)))), image)
    assert np.array_equal(rows(image, 9).whole(), image)


def test_texts_are_as_pillow_writes_them():
    texts = {"prompt": "ein Käse, 梨", "Software": "janus-cli"}
    image = PICTURES["flat"]
    theirs = io.BytesIO(image_bytes(image, "png", texts))
    assert read_image_metadata(io.BytesIO(written(image, **texts))) == read_image_metadata(theirs) == texts


def test_smooth_pictures_are_packed_as_well_as_pillow_does():
    assert len(written(PICTURES["slopes"], 64)) < 1.1 * len(image_bytes(PICTURES["slopes"], "png"))
    assert len(written(PICTURES["noise"])) < 1.05 * PICTURES["noise"].size
