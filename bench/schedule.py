"""The denoiser's schedule as a picture: every patch's time at one evaluation after another.

python -m bench.schedule docs/patch-schedule.png
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from janus_cli.stages.rows.wavefront import Wave

SIDE, GAP, SHOWN = 9, 12, 10  # pixels of a patch and between maps, evaluations shown
START, DONE, PAPER = np.array([24, 38, 84]), np.array([255, 214, 102]), 255


def band(rows: int, cols: int, steps: int) -> np.ndarray:
    """Maps side by side, uint8 [rows * SIDE, ..., 3]: before evaluation 0, 1, ... up to SHOWN."""
    wave, maps = Wave.from_steps(cols, steps), []
    for number in range(SHOWN):
        time = wave.find_times(number * wave.stride, 0, rows)[..., None]
        colours = np.round(START + time * (DONE - START)).astype(np.uint8)
        cells = colours.repeat(SIDE, 0).repeat(SIDE, 1)
        cells[::SIDE], cells[:, ::SIDE] = PAPER, PAPER
        maps += [cells, np.full((rows * SIDE, GAP, 3), PAPER, np.uint8)]
    return np.hstack(maps[:-1])


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("output", type=Path)
    top, bottom = (band(8, 8, steps) for steps in (2, 4))
    between = np.full((2 * GAP, top.shape[1], 3), PAPER, np.uint8)
    Image.fromarray(np.vstack([top, between, bottom])).save(parser.parse_args().output, optimize=True)


if __name__ == "__main__":
    main()
