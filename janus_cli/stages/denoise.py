"""Blurred to sharp: refine the dVAE's reconstruction patch by patch, in raster order.

Each patch has its own time t from 0 (the reconstruction) to 1 (done). Knows a dVAE, a refiner and options.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from janus_cli.config import check_scale
from janus_cli.errors import RecordError, UsageError
from janus_cli.nets.dvae import DVAE
from janus_cli.nets.refiner import Refiner
from janus_cli.records import Record, Segment, check_ids
from janus_cli.stages.rows.bands import Bands, Step
from janus_cli.stages.rows.passes import check_pair, make_passes
from janus_cli.stages.rows.rowwise import Rowwise, enlarge_size
from janus_cli.stages.rows.wavefront import MAX_STEPS, Denoiser, Wave, draw_noise_rows

CONTEXT = 2  # rows of codes above and below that the dVAE is given; the denoiser evens out what that leaves


@dataclass(frozen=True)
class DenoiseOptions:
    """How to denoise; with 0 steps the result is the dVAE's reconstruction.

    noise: share of the training's noise to start from. What the net can't turn into detail stays as grain,
    so 0 is the default, and then there is no chance in it; the seed matters only above 0.
    scale: the reconstruction is enlarged so far first and then denoised straight at that size.
    """

    steps: int = 3
    noise: float = 0.0
    seed: int = 0
    scale: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.steps <= MAX_STEPS:
            raise UsageError(f"--steps {self.steps}: give a number from 0 to {MAX_STEPS}")
        if not 0 <= self.noise <= 1:
            raise UsageError(f"--noise {self.noise:g}: give a share from 0 to 1")
        check_scale(self.scale)
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: give a number from 0 up")


class Denoise(Rowwise):
    """The stage: a record gets a `pixels` segment [rows, cols, patch, patch, 3] behind its image tokens.

    Pixels that the record already had are replaced. Raises ModelError when the nets do not belong together.
    """

    name, reads = "denoise", ("image",)

    def __init__(self, dvae: DVAE, refiner: Refiner, options: DenoiseOptions, stream: bool = False) -> None:
        check_pair(dvae, refiner)
        super().__init__(next(dvae.parameters()).device, stream)
        self._dvae, self._refiner, self._chosen = dvae, refiner, options
        self._patch = dvae.cfg.patch * options.scale  # pixels per side of what is made

    def list_options(self, record: Record) -> dict[str, Any]:
        """List the steps, the scale, and noise and seed where there was noise."""
        options = self._chosen
        drawn = {"noise": options.noise, "seed": self._find_seed(record)} if options.noise else {}
        enlarged = {"scale": options.scale} if options.scale > 1 else {}
        return {"steps": options.steps, **enlarged, **drawn}

    def check(self, record: Record) -> None:
        """Raise RecordError for a record without image tokens or with ids beyond the codebook."""
        if (segment := record.find("image")) is None:
            raise RecordError(f"record {record.id!r}: no image tokens (`janus generate` makes them)")
        check_ids(segment, self._dvae.cfg.codebook_size)

    def make_steps(self, record: Record) -> list[Step]:
        """Make the steps: the dVAE's reconstruction, enlarged if asked, and the wavefront behind it."""
        options, cols = self._chosen, _get_image(record).data.shape[1]
        context = CONTEXT if options.steps else self._dvae.reach
        decode = Bands(lambda codes, *_: self._dvae.decode(codes).clamp(-1, 1), context, context)
        large = [decode, *make_passes(self._refiner, self._dvae.cfg.patch, options.scale)]
        if not options.steps:
            return large
        noise = None
        if options.noise:
            rows = draw_noise_rows(cols, self._patch, self._find_seed(record))
            noise = (np.float32(options.noise * self._refiner.cfg.noise) * row for row in rows)
        return [*large, Denoiser(self._refiner, Wave.from_steps(cols, options.steps), noise)]

    def _find_seed(self, record: Record) -> int:
        """Find the seed of a picture's noise: of the k-th of one prompt it is `options.seed` + k."""
        return self._chosen.seed + find_item_index(record)

    def describe_pixels(self, record: Record) -> dict[str, Any]:
        """Describe the patch, and the size where it is known."""
        return {"patch": self._patch} | enlarge_size(_get_image(record).info, self._chosen.scale)


def _get_image(record: Record) -> Segment:
    segment = record.find("image")
    assert segment is not None, "checked before"
    return segment


def find_item_index(record: Record) -> int:
    """Find which of its prompt's pictures this is, as `generate` wrote it; 0 for any other record."""
    index = record.step("generate").get("index", 0)
    return index if type(index) is int and index >= 0 else 0
