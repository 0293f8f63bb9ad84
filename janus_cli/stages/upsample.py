"""Larger pictures: passes of x2, each with the refiner's upsampling head.

8 px per token become 16, then 32. Knows a dVAE, a refiner and options. There is no chance in it: the
same record gives the same pixels.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from janus_cli.config import SCALES, check_scale
from janus_cli.errors import RecordError, UsageError
from janus_cli.nets.dvae import DVAE
from janus_cli.nets.pixels import to_float
from janus_cli.nets.refiner import LEVELS, Refiner
from janus_cli.records import Record, check_ids
from janus_cli.stages.rows.bands import Bands, Step
from janus_cli.stages.rows.passes import check_pair, make_passes, make_sharpening_passes
from janus_cli.stages.rows.rowwise import Rowwise, enlarge_size
from janus_cli.stages.rows.wavefront import MAX_STEPS


@dataclass(frozen=True)
class UpsampleOptions:
    """How far to enlarge, in all. `follow`: by the scale that the record's page was laid out for, if any.

    steps: evaluations of each patch in a pass that denoises what the pass before it made, or the dVAE; pixels
    that came with the record are taken as they are. 0 = all passes only enlarge.
    """

    scale: int = 4
    follow: bool = False
    steps: int = 0

    def __post_init__(self) -> None:
        check_scale(self.scale)
        if not 0 <= self.steps <= MAX_STEPS:
            raise UsageError(f"--steps {self.steps}: give a number from 0 to {MAX_STEPS}")


class Upsample(Rowwise):
    """The stage: a record's pixels [rows, cols, P, P, 3] are enlarged to P * scale pixels per patch.

    A record without pixels is decoded by the dVAE first; one without image tokens is enlarged from its
    pixels alone. Raises ModelError when the nets do not belong together.
    """

    name, reads = "upsample", ("image", "pixels")

    def __init__(self, dvae: DVAE, refiner: Refiner, options: UpsampleOptions, stream: bool = False) -> None:
        check_pair(dvae, refiner)
        super().__init__(next(dvae.parameters()).device, stream)
        self._dvae, self._refiner, self._chosen = dvae, refiner, options
        self.mask_code = refiner.mask_code

    def list_options(self, record: Record) -> dict[str, Any]:
        """List how far this record is enlarged, and in how many steps it was denoised."""
        steps = {"steps": self._chosen.steps} if self._chosen.steps else {}
        return {"scale": self._choose_scale(record), **steps}

    def _choose_scale(self, record: Record) -> int:
        return (_find_page_scale(record) if self._chosen.follow else None) or self._chosen.scale

    def check(self, record: Record) -> None:
        """Raise RecordError for a record with nothing to enlarge, or with what the nets do not fit."""
        image, pixels, who = record.find("image"), record.find("pixels"), f"record {record.id!r}: "
        if image is not None:
            check_ids(image, self._dvae.cfg.codebook_size)
        if image is None and pixels is None:
            raise RecordError(f"{who}neither pixels nor image tokens to enlarge")
        patch = self._dvae.cfg.patch
        side = patch if pixels is None else pixels.data.shape[2]
        sides = [patch << i for i in range(LEVELS)]
        if side not in sides:
            raise RecordError(f"{who}{side} px patches, the refiner knows {', '.join(map(str, sides))}")
        scale = self._choose_scale(record)
        if scale > 1 and side == sides[-1]:
            raise RecordError(f"{who}its patches have {side} px already, the full size: leave `upsample` out")
        if side * scale > sides[-1]:
            raise RecordError(
                f"{who}its patches have {side} px already and x{scale} would pass "
                f"{sides[-1]} px: choose --scale {sides[-1] // side}"
            )
        if image is not None and pixels is not None and image.data.shape != pixels.data.shape[:2]:
            rows, cols = pixels.data.shape[:2]
            raise RecordError(
                f"{who}{rows} x {cols} patches of pixels, but {image.data.shape[0]} x "
                f"{image.data.shape[1]} image tokens"
            )

    def make_steps(self, record: Record) -> list[Step]:
        """Make a pass for each factor of 2, behind the dVAE where there are no pixels yet."""

        def decode(codes: Tensor, *_: Any) -> Tensor:
            return to_float(self._dvae.decode_picture(codes), codes.device)[None]

        known, scale = record.find("pixels") or record.find("image"), self._choose_scale(record)
        assert known is not None, "checked before"
        side = known.data.shape[2] if known.modality == "pixels" else self._dvae.cfg.patch
        reach = self._dvae.reach
        first: list[Step] = [] if known.modality == "pixels" else [Bands(decode, reach, reach)]
        if not (steps := self._chosen.steps):
            return [*first, *make_passes(self._refiner, side, scale)]
        if known.modality == "pixels" and scale > 1:
            first, scale = make_passes(self._refiner, side, 2), scale // 2
        return [*first, *make_sharpening_passes(self._refiner, known.data.shape[1], scale, steps)]

    def describe_pixels(self, record: Record) -> dict[str, Any]:
        """Enlarge what the pixels' info says; what the image tokens' says where there were no pixels."""
        image, pixels = record.find("image"), record.find("pixels")
        if pixels is not None:
            known, side = dict(pixels.info), pixels.data.shape[2]
        else:
            whole = image.info if image is not None else {}
            known, side = {k: whole[k] for k in ("size",) if k in whole}, self._dvae.cfg.patch
        scale = self._choose_scale(record)
        return known | {"patch": side * scale} | enlarge_size(known, scale)


def _find_page_scale(record: Record) -> int | None:
    """Find the enlargement that `record` was laid out for, None where nothing says so."""
    scale = record.step("page").get("scale")
    return scale if type(scale) is int and scale in SCALES else None
