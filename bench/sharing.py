"""What one trunk with two heads saves, and what denoising pixels in bands costs in memory.

    python -m bench.sharing [MODEL] [--side 1024]

Prints Markdown. Multiplications are counted by torch; peaks are of fresh processes, above what the loaded
nets take. The latent denoisers are of the same width and depth, with random weights: they are there to be
weighed.
"""

import argparse
import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from janus_cli import zoo
from janus_cli.nets.dvae import DVAE
from janus_cli.nets.refiner import Block, Refiner
from janus_cli.pipeline import load
from janus_cli.records import Record, Segment, to_ids
from janus_cli.stages.denoise import Denoise, DenoiseOptions

LATENT = 64  # channels


class LatentDenoiser(nn.Module):
    """The refiner's blocks on a map of LATENT channels: [1, LATENT, H, W], time and condition -> the same."""

    def __init__(self, refiner: Refiner, dim: int) -> None:
        super().__init__()
        cfg = dataclasses.replace(refiner.cfg, dim=dim)
        self.input = nn.Linear(2 * LATENT + 1, dim)
        self.blocks = nn.ModuleList(Block(cfg) for _ in range(cfg.n_block))
        self.output = nn.Linear(dim, LATENT)

    def forward(self, latents: Tensor, condition: Tensor) -> Tensor:
        time = torch.zeros_like(latents[:, :1])
        h = self.input(torch.cat((latents, condition, time), 1).permute(0, 2, 3, 1))
        for block in self.blocks:
            h = block(h)
        return latents + self.output(h).permute(0, 3, 1, 2)


def macs(action: Callable[[], object]) -> int:
    """Multiplications of `action`."""
    with FlopCounterMode(display=False) as counter:
        action()
    return counter.get_total_flops() // 2


def shared_nothing(refiner: Refiner, x: Tensor, t: Tensor, codes: Tensor) -> int:
    """Multiplications of both heads with a trunk each."""
    return macs(lambda: (refiner.denoise(x, x, t, codes), refiner.upsample(x, codes)))


@torch.inference_mode()
def sharing(refiner: Refiner, rows: int, cols: int) -> None:
    """Print multiplications a patch with one trunk for both heads and with one for each."""
    print("| a pass that denoises and enlarges | M multiplications a patch, one trunk | two trunks | saved |")
    print("|---|---|---|---|")
    total = [0, 0]
    for scale in (1, 2):
        side = refiner.cfg.patch * scale
        x = torch.zeros(1, 3, rows * side, cols * side)
        codes = torch.zeros(1, rows, cols, dtype=torch.int64)
        t = torch.zeros_like(x[:, :1])
        shared = macs(lambda x=x, t=t, codes=codes: refiner.denoise_up(x, x, t, codes))
        apart = shared_nothing(refiner, x, t, codes)
        total = [total[0] + shared, total[1] + apart]
        each = [n / rows / cols / 1e6 for n in (shared, apart)]
        print(f"| x{scale} to x{2 * scale} | {each[0]:.2f} | {each[1]:.2f} | {1 - shared / apart:.0%} |")
    print(
        f"| both, x1 to x4 | {total[0] / rows / cols / 1e6:.2f} | {total[1] / rows / cols / 1e6:.2f} | "
        f"{1 - total[0] / total[1]:.0%} |"
    )
    size = sum(p.numel() for p in refiner.parameters())
    heads = sum(
        p.numel()
        for part in (refiner.up_hidden, refiner.up_head, refiner.denoise_head)
        for p in part.parameters()
    )
    print(f"\nWeights: {size / 1e6:.2f} M with one trunk, {(2 * size - heads) / 1e6:.2f} M with two.\n")


WAYS = {
    "decoded alone": "the tokenizer's decoder on the whole picture",
    "bands": "denoised in pixels, in bands of rows (ours)",
    "whole": "denoised in pixels, the whole picture at once",
    "latent": "denoised in the tokenizer's 64-channel latent, then decoded",
    "map": "denoised in a map of 64 channels at the picture's resolution",
}


def _latent(dvae: DVAE, refiner: Refiner, codes: Tensor) -> Tensor:
    vectors = dvae.lookup(codes)
    vectors = LatentDenoiser(refiner, refiner.cfg.dim)(vectors, vectors)
    return F.pixel_shuffle(dvae.unproject(vectors), dvae.cfg.patch) + dvae.context(vectors)


@torch.inference_mode()
def peak(model: str, way: str, side: int) -> float:
    """MB of memory at the peak, above the loaded nets; for a process of its own."""
    pipeline = load(model)
    dvae, refiner = pipeline.pictures.dvae, pipeline.refining.refiner
    assert isinstance(dvae, DVAE)
    for net in (dvae, refiner):
        for parameter in net.parameters():
            parameter.sum()  # read now, not while we watch
    n = side // dvae.cfg.patch
    codes = torch.randint(dvae.cfg.codebook_size, (1, n, n), generator=torch.Generator().manual_seed(0))
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of loading, which was higher
    before = _status("VmRSS")
    if way == "decoded alone":
        dvae.decode(codes)
    elif way == "bands":
        record = Record((Segment("image", to_ids(codes[0].numpy(), dvae.cfg.codebook_size)),))
        next(Denoise(dvae, refiner, DenoiseOptions(1))(record))
    elif way == "whole":
        y = dvae.decode(codes)
        refiner.denoise(y, y, torch.zeros_like(y[:, :1]), codes)
    elif way == "latent":
        _latent(dvae, refiner, codes)
    else:
        y = torch.zeros(1, LATENT, side, side)
        LatentDenoiser(refiner, LATENT)(y, y)
    return (_status("VmHWM") - before) / 1024


def _status(name: str) -> int:
    """A line of Linux's /proc/self/status, in kB."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", default=zoo.DEFAULT)
    parser.add_argument("--side", type=int, default=1024, help="pixels of the picture whose peak is taken")
    parser.add_argument("--peak", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        print(peak(given.model, given.peak, given.side))
        return
    pipeline = load(given.model)
    sharing(pipeline.refining.refiner, *pipeline.model.config.generation.grid)
    print(f"| one step on {given.side} x {given.side} pixels | peak, MB |\n|---|---|")
    for way, label in WAYS.items():
        command = [sys.executable, "-m", "bench.sharing", given.model, "--side", str(given.side)]
        done = subprocess.run([*command, "--peak", way], check=True, capture_output=True, text=True)
        print(f"| {label} | {float(done.stdout):.0f} |", flush=True)


if __name__ == "__main__":
    main()
