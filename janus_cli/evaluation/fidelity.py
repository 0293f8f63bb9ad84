"""How true the image tokenizer and the refiner are to pictures that they never saw."""

from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F

from janus_cli.dataset.pictures import BACKGROUNDS, HUES, Item, Scene, Sprites, compose
from janus_cli.evaluation.candidate import Candidate, Tell, stack_codes
from janus_cli.evaluation.measures import measure_psnr, measure_ssim, measure_usage
from janus_cli.nets.pixels import to_float, to_uint8

SIZES = (64, 128)  # pixels per side
ENLARGED = 4  # the refiner's measured enlargement


def paint_drawings(drawings: Sequence[int], sprites: Sprites, size: int) -> np.ndarray:
    """Paint single drawings on white, uint8 [N, size, size, 3]."""
    return np.stack([compose(Scene((Item(int(d)),)), sprites, size) for d in drawings])


def _vary_drawing(drawing: int) -> list[tuple[Scene, int]]:
    """A drawing as it is at both sizes, and once recoloured on a background."""
    hue, background = list(HUES)[drawing % len(HUES)], list(BACKGROUNDS)[drawing % len(BACKGROUNDS)]
    plain = Scene((Item(drawing),))
    return [(plain, 64), (plain, 128), (Scene((Item(drawing, hue=hue),), background), 64)]


def count_codes(candidate: Candidate, sprites: Sprites, drawings: Sequence[int], tell: Tell) -> np.ndarray:
    """How often each code occurs in pictures of `drawings`, [K]."""
    counts = np.zeros(candidate.codebook_size, np.int64)
    for start in range(0, len(drawings), 64):
        few = Sprites(sprites.full)  # every drawing at two sizes would fill the memory: forget them at once
        pictures = [v for d in drawings[start : start + 64] for v in _vary_drawing(int(d))]
        for record in candidate.encode(compose(scene, few, side) for scene, side in pictures):
            counts += np.bincount(stack_codes([record]).ravel(), minlength=len(counts))
        tell(min(start + 64, len(drawings)), len(drawings))
    return counts


def report_tokenizer(
    candidate: Candidate, sprites: Sprites, held: Sequence[int], every: Sequence[int], tell: Tell
) -> dict[str, object]:
    """PSNR and SSIM on held-out drawings at both sizes; codes used on them, and on all drawings."""
    report: dict[str, object] = {"n": len(held)}
    for size in SIZES:
        real = paint_drawings(held, sprites, size)
        seen = candidate.reconstruct(real)
        report[str(size)] = {"psnr": measure_psnr(seen, real), "ssim": measure_ssim(seen, real)}
    codes: dict[str, object] = {"size": candidate.codebook_size, "pictures": 3 * len(every)}
    for name, drawings, said in (("heldout", held, lambda done, total: None), ("all", every, tell)):
        used, perplexity = measure_usage(count_codes(candidate, sprites, drawings, said))
        share = round(used / candidate.codebook_size, 4)
        codes[name] = {"used": used, "share": share, "perplexity": round(perplexity, 1)}
    return {**report, "codes": codes}


def report_refiner(
    candidate: Candidate, sprites: Sprites, held: Sequence[int], tell: Tell
) -> dict[str, object]:
    """PSNR in dB and SSIM on held-out drawings of each size, from their true tokens.

    As decoded, denoised, and x4: compared with the drawing at four times the size, as is bicubic enlargement
    of what was decoded.
    """
    sizes = {str(size): _measure_refiner(candidate, sprites, held, size, tell) for size in SIZES}
    return {"n": len(held), **sizes}


def _measure_refiner(
    candidate: Candidate, sprites: Sprites, held: Sequence[int], size: int, tell: Tell
) -> dict[str, float]:
    """Measure the refiner on drawings of `size` pixels a side."""
    small, large = (paint_drawings(held, sprites, size * scale) for scale in (1, ENLARGED))
    tokens, denoised, enlarged = candidate.encode(small), [], []
    for record in tokens:
        denoised.append(candidate.denoise(record))
        enlarged.append(candidate.upsample(denoised[-1], ENLARGED))
        tell(len(enlarged), len(tokens))
    decoded, sharp, x4 = map(candidate.decode, (tokens, denoised, enlarged))
    bicubic = to_uint8(F.interpolate(to_float(decoded), scale_factor=ENLARGED, mode="bicubic"))
    return {
        "psnr_decoded": measure_psnr(decoded, small),
        "psnr_denoised": measure_psnr(sharp, small),
        "psnr_bicubic": measure_psnr(bicubic, large),
        "psnr_x4": measure_psnr(x4, large),
        "ssim_bicubic": measure_ssim(bicubic, large),
        "ssim_x4": measure_ssim(x4, large),
    }
