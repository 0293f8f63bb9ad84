"""Larger pictures: passes of x2, each with the refiner's upsampling head.

8 px per token become 16, then 32. Knows a dVAE, a refiner and options. There is no chance in it: the
same record gives the same pixels.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from janus_cli.errors import ModelError, RecordError, UsageError
from janus_cli.nets.dvae import DVAE
from janus_cli.nets.pixels import cut, join, to_float, to_uint8
from janus_cli.nets.refiner import LEVELS, Refiner
from janus_cli.records import Record, Segment, check_ids

SCALES = (1, 2, 4)


@dataclass(frozen=True)
class UpsampleOptions:
    """How far to enlarge, in all; `follow`: as far as the record's page was laid out for, where it was."""

    scale: int = 4
    follow: bool = False

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise UsageError(f"--scale {self.scale}: choose 1, 2 or 4")


def upsample(
    records: Iterable[Record], dvae: DVAE, refiner: Refiner, options: UpsampleOptions
) -> Iterator[Record]:
    """Each record with its pixels [rows, cols, P, P, 3] enlarged to P * scale pixels per patch.

    A record without pixels is decoded by the dVAE first; one without image tokens is enlarged from its
    pixels alone. Raises ModelError when the nets do not belong together, RecordError for a record with
    neither, ids beyond the codebook, or pixels whose patch or grid does not fit.
    """
    ours, theirs = refiner.cfg, dvae.cfg
    if (ours.codebook_size, ours.patch) != (theirs.codebook_size, theirs.patch):
        raise ModelError(
            f"the refiner is for {ours.codebook_size} codes of {ours.patch} px, the dVAE has "
            f"{theirs.codebook_size} codes of {theirs.patch} px: they are of different models"
        )
    for record in records:
        scale = (_laid_out(record) if options.follow else None) or options.scale
        pixels, codes = _source(record, dvae, scale)
        enlarged = enlarge(pixels, codes, refiner, scale)
        kept = [s for s in record.segments if s.modality != "pixels"]
        yield record.with_step("upsample", (*kept, enlarged), scale=scale)


@torch.inference_mode()
def enlarge(pixels: Segment, codes: np.ndarray | None, refiner: Refiner, scale: int) -> Segment:
    """A pixels segment enlarged by `scale`; codes [rows, cols] of its patches, None where unknown."""
    rows, cols, side = pixels.data.shape[:3]
    device = next(refiner.parameters()).device
    ids = np.full((rows, cols), refiner.mask_code) if codes is None else codes
    grid = torch.from_numpy(ids.astype(np.int64))[None].to(device)
    x = to_float(join(pixels.data), device)
    for _ in range(scale.bit_length() - 1):
        x = refiner.upsample(x, grid).clamp(-1, 1)
    info = dict(pixels.info) | {"patch": side * scale}
    if "size" in info:
        info["size"] = [n * scale for n in info["size"]]
    return Segment("pixels", cut(to_uint8(x), side * scale), info)


def _laid_out(record: Record) -> int | None:
    """The enlargement that `record` was laid out for, None where nothing says so."""
    told = next((step.get("scale") for step in reversed(record.made_by) if step.get("stage") == "page"), None)
    return told if type(told) is int and told in SCALES else None


def _source(record: Record, dvae: DVAE, scale: int) -> tuple[Segment, np.ndarray | None]:
    """What to enlarge, and the codes it was decoded from."""
    image, pixels = record.find("image"), record.find("pixels")
    if image is not None:
        check_ids(image, dvae.cfg.codebook_size)
    if pixels is None:
        if image is None:
            raise RecordError(f"record {record.id!r}: neither pixels nor image tokens to enlarge")
        pixels = _decode(image, dvae)
    rows, cols, side = pixels.data.shape[:3]
    top = dvae.cfg.patch << (LEVELS - 1)
    sides = [dvae.cfg.patch << i for i in range(LEVELS)]
    if side not in sides:
        known = ", ".join(map(str, sides))
        raise RecordError(f"record {record.id!r}: {side} px patches, the refiner knows {known}")
    if side * scale > top:
        raise RecordError(
            f"record {record.id!r}: its patches have {side} px already and x{scale} would pass {top} px: "
            f"choose --scale {top // side}"
        )
    if image is not None and image.data.shape != (rows, cols):
        raise RecordError(
            f"record {record.id!r}: {rows} x {cols} patches of pixels, but {image.data.shape[0]} x "
            f"{image.data.shape[1]} image tokens"
        )
    return pixels, None if image is None else image.data


@torch.inference_mode()
def _decode(image: Segment, dvae: DVAE) -> Segment:
    codes = torch.from_numpy(image.data.astype(np.int64))[None].to(next(dvae.parameters()).device)
    info = {"patch": dvae.cfg.patch} | {k: image.info[k] for k in ("size",) if k in image.info}
    return Segment("pixels", cut(to_uint8(dvae.decode(codes)), dvae.cfg.patch), info)
