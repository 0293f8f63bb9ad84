"""The sheet of docs/sizes.md, and how steep a larger page's edges are beside a bicubic enlargement's.

python -m bench.pages docs/sizes.png
"""

import argparse
import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image, ImageDraw

from janus_cli.pipeline import PictureOptions, Pipeline, Plan, Sampling, Size, load
from janus_cli.records import Record

SEED = 7
PAGES = (  # prompt, width, height, what to say of it, where it stands on the sheet
    ("rocket, twemoji", 768, 256, "", (8, 8)),
    ("a red apple on a blue background", 512, 256, "", (400, 8)),
    ("a frog on a yellow background", 256, 512, "", (664, 8)),
    ("owl, noto", 504, 320, "", (8, 164)),
    ("triangular ruler, twemoji", 512, 256, ": cut at the square", (272, 164)),
    ("two cats", 128, 192, "", (796, 8)),
)
CROP = 180  # pixels of the pictures that are shown as they are
STEEP = (
    "rocket, twemoji",
    "owl, noto",
    "a red apple",
    "a penguin",
    "pool 8 ball, twemoji",
    "jar, noto",
    "two cats",
    "a seal above a crab",
)


def drawn(pipeline: Pipeline, prompt: str, size: Size | None) -> np.ndarray:
    """The picture, uint8 [H, W, 3]."""
    [record] = pipeline.draw([prompt], Sampling(seed=SEED), PictureOptions(size))
    return cast(np.ndarray, pipeline.decode(record))


def at_once(pipeline: Pipeline, prompt: str) -> np.ndarray:
    """What the decoder makes of a 24 x 24 grid that it never learned."""
    options = dataclasses.replace(pipeline.plan_picture(Sampling(seed=SEED)).options, grid=(24, 24))
    records = Plan(options, lambda: pipeline.nets.open_stage(options)).run([pipeline.tokenize(prompt)])
    return cast(np.ndarray, pipeline.decode(next(refine(pipeline, records, 2))))


def refine(pipeline: Pipeline, records: Iterable[Record], scale: int) -> Iterator[Record]:
    """Denoise and enlarge."""
    return pipeline.refining.upsample(pipeline.refining.denoise(records), scale)


def bicubic(picture: np.ndarray, side: int) -> np.ndarray:
    """A square picture at another size."""
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))


def steepness(picture: np.ndarray) -> float:
    """The difference of neighbouring pixels that one in a hundred exceeds, in levels."""
    grey = picture.astype(np.float64).mean(2)
    return float(np.percentile(np.abs(np.diff(grey, axis=1)), 99))


def main() -> None:
    """Draw the sheet, and print how steep edges are."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("output", type=Path)
    output, pipeline = parser.parse_args().output, load("pocket")
    sheet = Image.new("RGB", (868, 544), (224, 224, 224))
    pen = ImageDraw.Draw(sheet)

    def paste(picture: np.ndarray, words: str, place: tuple[int, int], divisor: int = 1) -> None:
        image = Image.fromarray(picture).reduce(divisor)
        sheet.paste(image, place)
        pen.text((place[0], place[1] + image.height + 2), words, fill="black")

    for prompt, width, height, more, place in PAGES:
        words = f"{width}x{height}, {prompt}{more}"
        for start in ("a frog", "background", "two cats") if width < height else ():
            words = words.replace(f" {start}", f"\n{start}")
        paste(drawn(pipeline, prompt, Size(width, height)), words, place, 2)
    rocket, page = (drawn(pipeline, "rocket, twemoji", size) for size in (None, Size(1024, 1024)))
    crop = slice(460, 460 + CROP), slice(200, 200 + CROP)
    paste(page[crop], "1024, part of it, as it is", (8, 346))
    paste(bicubic(rocket, 1024)[crop], "bicubic instead", (196, 346))
    paste(at_once(pipeline, "a red apple"), "24 x 24 tokens drawn at once", (384, 346), 3)
    large = drawn(pipeline, "owl, noto", Size(1024, 1024))
    paste(large[320 : 320 + CROP, 380 : 380 + CROP], "1024, part of it, as it is", (572, 346))
    sheet.quantize(256, dither=Image.Dither.NONE).save(output, optimize=True)

    for side in (768, 1024):
        ratios = []
        for prompt in STEEP:
            plain = bicubic(drawn(pipeline, prompt, None), side)
            ratios.append(steepness(drawn(pipeline, prompt, Size(side, side))) / steepness(plain))
        low, high, mean = min(ratios), max(ratios), np.mean(ratios)
        print(f"{side}: edges {low:.2f} to {high:.2f} times as steep, {mean:.2f} on average")


if __name__ == "__main__":
    main()
