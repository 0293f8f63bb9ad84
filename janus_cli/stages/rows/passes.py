"""Passes of x2: steps of `bands` for the stages that enlarge, and whether their nets fit together.

8 px per token become 16, then 32. Knows the nets and rows; no records.
"""

from torch import Tensor

from janus_cli.errors import ModelError
from janus_cli.nets.dvae import DVAE
from janus_cli.nets.refiner import Refiner
from janus_cli.stages.rows.bands import Bands, Step
from janus_cli.stages.rows.wavefront import Denoiser, Wave

CONTEXT = 8  # pixels of the token rows above and below that a pass sees: what a patch has at least


def check_pair(dvae: DVAE, refiner: Refiner) -> None:
    """Raise ModelError unless the refiner was made for a codebook and patch like the dVAE's."""
    theirs, ours = dvae.cfg, refiner.cfg
    if (theirs.codebook_size, theirs.patch) != (ours.codebook_size, ours.patch):
        raise ModelError(
            f"the refiner is for {ours.codebook_size} codes of {ours.patch} px, the dVAE has "
            f"{theirs.codebook_size} codes of {theirs.patch} px: they are of different models"
        )


def make_passes(refiner: Refiner, side: int, scale: int) -> list[Step]:
    """Make the steps from `side` pixels a patch to `side * scale`, one for each factor of 2."""

    def double(codes: Tensor, pixels: Tensor, first: int) -> Tensor:
        return refiner.upsample(pixels, codes, first).clamp(-1, 1)

    return [Bands(double, 1, 1, (side << i) - CONTEXT) for i in range(scale.bit_length() - 1)]


def make_sharpening_passes(refiner: Refiner, cols: int, scale: int, steps: int) -> list[Step]:
    """Make passes that also denoise what they enlarge, in `steps` evaluations of a patch."""
    return [
        Denoiser(refiner, Wave.from_steps(cols, steps), twice=True) for _ in range(scale.bit_length() - 1)
    ]
