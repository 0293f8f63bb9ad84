"""How true the image tokenizer and the refiner are to pictures that they never saw."""

from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F

from janus_cli.dataset.pictures import BACKGROUNDS, HUES, Item, Scene, Sprites, compose
from janus_cli.errors import JanusError
from janus_cli.evaluation.judge import Artist, Tell
from janus_cli.media.pictures import pixels_to_image
from janus_cli.nets.pixels import to_float, to_uint8
from janus_cli.nets.refiner import Refiner
from janus_cli.records import Record, Segment, to_ids
from janus_cli.stages.denoise import DenoiseOptions, denoise
from janus_cli.stages.upsample import UpsampleOptions, upsample

SIZES = (64, 128)  # pixels per side
ENLARGED = 4  # the refiner's measured enlargement, of 64 px pictures


def psnr(output: np.ndarray, target: np.ndarray) -> float:
    """Mean over pictures uint8 [N, H, W, 3] of the PSNR in dB."""
    error = np.square(output.astype(np.float32) - target).mean((1, 2, 3))
    return round(float(np.mean(10 * np.log10(255**2 / np.maximum(error, 1e-2)))), 3)


def ssim(output: np.ndarray, target: np.ndarray) -> float:
    """Mean over pictures uint8 [N, H, W, 3] of the structural similarity (Wang et al., 2004)."""
    try:
        from skimage.metrics import structural_similarity
    except ImportError:
        raise JanusError("SSIM needs scikit-image: pip install 'janus-cli[train]'") from None
    values = [
        structural_similarity(a, b, channel_axis=-1, data_range=255)
        for a, b in zip(output, target, strict=True)
    ]
    return round(float(np.mean(values)), 4)


def paint(drawings: Sequence[int], sprites: Sprites, size: int) -> np.ndarray:
    """Single drawings on white, uint8 [N, size, size, 3]."""
    return np.stack([compose(Scene((Item(int(d)),)), sprites, size) for d in drawings])


def usage(counts: np.ndarray) -> dict[str, float]:
    """How many codes occur among counts [K], their share of the codebook, and the perplexity."""
    p = counts[counts > 0] / counts.sum()
    entropy = -(p * np.log(p)).sum()
    used = int((counts > 0).sum())
    return {
        "used": used,
        "share": round(used / len(counts), 4),
        "perplexity": round(float(np.exp(entropy)), 1),
    }


def _variations(drawing: int) -> list[tuple[Scene, int]]:
    """A drawing as it is at both sizes, and once recoloured on a background."""
    hue, background = list(HUES)[drawing % len(HUES)], list(BACKGROUNDS)[drawing % len(BACKGROUNDS)]
    plain = Scene((Item(drawing),))
    return [(plain, 64), (plain, 128), (Scene((Item(drawing, hue=hue),), background), 64)]


def code_counts(artist: Artist, sprites: Sprites, drawings: Sequence[int], tell: Tell) -> np.ndarray:
    """How often each code occurs in pictures of `drawings`, [K]."""
    counts = np.zeros(artist.dvae.cfg.codebook_size, np.int64)
    for start in range(0, len(drawings), 64):
        few = Sprites(sprites.full)  # every drawing at two sizes would fill the memory: forget them at once
        pictures = [v for d in drawings[start : start + 64] for v in _variations(int(d))]
        for size in SIZES:
            chosen = np.stack([compose(scene, few, side) for scene, side in pictures if side == size])
            counts += np.bincount(artist.encode(chosen).ravel(), minlength=len(counts))
        tell(min(start + 64, len(drawings)), len(drawings))
    return counts


def tokenizer_report(
    artist: Artist, sprites: Sprites, held: Sequence[int], every: Sequence[int], tell: Tell
) -> dict[str, object]:
    """PSNR and SSIM on held-out drawings at both sizes; codes used on them, and on all drawings."""
    report: dict[str, object] = {"n": len(held)}
    for size in SIZES:
        real = paint(held, sprites, size)
        seen = artist.reconstruct(real)
        report[str(size)] = {"psnr": psnr(seen, real), "ssim": ssim(seen, real)}
    counts = {"heldout": code_counts(artist, sprites, held, lambda done, total: None)}
    counts["all"] = code_counts(artist, sprites, every, tell)
    codes = {name: usage(c) for name, c in counts.items()}
    return {**report, "codes": {"size": artist.dvae.cfg.codebook_size, "pictures": 3 * len(every), **codes}}


def refiner_report(artist: Artist, sprites: Sprites, held: Sequence[int], tell: Tell) -> dict[str, float]:
    """PSNR in dB on held-out drawings of 64 px, from their true tokens: as decoded, denoised, and x4.

    The x4 picture is compared with the drawing at 256 px; so is bicubic enlargement of what was decoded.
    """
    refiner = artist.refiner
    assert refiner is not None, "only asked of a model that has a refiner"
    small, large = paint(held, sprites, 64), paint(held, sprites, 64 * ENLARGED)
    codes = artist.encode(small)
    decoded = artist.decode(codes)
    denoised, enlarged = [], []
    for i, grid in enumerate(codes):
        sharp = _denoised(grid, artist, refiner)
        denoised.append(pixels_to_image(sharp.segments[-1].data))
        [x4] = upsample([sharp], artist.dvae, refiner, UpsampleOptions(ENLARGED, steps=refiner.cfg.up_steps))
        enlarged.append(pixels_to_image(x4.segments[-1].data))
        tell(i + 1, len(codes))
    bicubic = F.interpolate(to_float(decoded), scale_factor=ENLARGED, mode="bicubic")
    return {
        "n": len(held),
        "psnr_decoded": psnr(decoded, small),
        "psnr_denoised": psnr(np.stack(denoised), small),
        "psnr_bicubic": psnr(to_uint8(bicubic), large),
        "psnr_x4": psnr(np.stack(enlarged), large),
        "ssim_bicubic": ssim(to_uint8(bicubic), large),
        "ssim_x4": ssim(np.stack(enlarged), large),
    }


def _denoised(codes: np.ndarray, artist: Artist, refiner: Refiner) -> Record:
    """Codes [rows, cols] with the denoiser's pixels."""
    image = Segment("image", to_ids(codes, artist.dvae.cfg.codebook_size))
    options = DenoiseOptions(steps=refiner.cfg.steps)
    return next(iter(denoise([Record((image,))], artist.dvae, refiner, options)))
