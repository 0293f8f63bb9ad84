"""Pictures as tokens: any picture to dVAE codes, and back.

Knows a dVAE and numpy pictures. Opens no file and picks no device: the net's own is used.
"""

from typing import Any

import numpy as np
import torch

from janus_cli.errors import RecordError
from janus_cli.media.pictures import check_image, cut_to_size
from janus_cli.nets.dvae import DVAE
from janus_cli.nets.vq16 import VQ16
from janus_cli.records import Record, Segment, check_ids, to_ids


@torch.inference_mode()
def encode_image(
    image: np.ndarray, dvae: DVAE | VQ16, name: str, fingerprint: str, *, id: str = "", source: str = ""
) -> Record:
    """Encode a picture uint8 [H, W, 3] to a record of one image segment [H / patch, W / patch].

    A side that is no multiple of the patch is padded by repeating the last row or column; the true size
    is kept in the segment's `size` and cut out again by `decode_image`. `name` and `fingerprint` are the
    tokenizer's. Raises MediaError for anything but a non-empty uint8 RGB picture.
    """
    check_image(image, source)
    patch = dvae.cfg.patch
    height, width = image.shape[:2]
    if height % patch or width % patch:
        image = np.pad(image, ((0, -height % patch), (0, -width % patch), (0, 0)), mode="edge")
    codes = dvae.encode_picture(image)
    info = {"tokenizer": name, "fingerprint": fingerprint, "patch": patch, "size": [height, width]}
    segment = Segment("image", to_ids(codes, dvae.cfg.codebook_size), info)
    note: dict[str, Any] = {"source": source} if source else {}
    return Record((segment,), id).with_step("tokenize", modality="image", **note)


@torch.inference_mode()
def decode_image(segment: Segment, dvae: DVAE | VQ16) -> np.ndarray:
    """Decode an image segment to its picture uint8 [H, W, 3], cut to its true size.

    Raises RecordError for another modality, another patch, or ids beyond the codebook.
    """
    if segment.modality != "image":
        raise RecordError(f"expected an image segment, found {segment.modality}")
    ours, theirs = dvae.cfg.patch, segment.info.get("patch", dvae.cfg.patch)
    if theirs != ours:
        raise RecordError(f"the tokens stand for {theirs} px patches, the model's for {ours} px")
    check_ids(segment, dvae.cfg.codebook_size)
    device = next(dvae.parameters()).device
    codes = torch.from_numpy(segment.data.astype(np.int64))[None].to(device)
    return cut_to_size(dvae.decode_picture(codes), segment.info.get("size"))
