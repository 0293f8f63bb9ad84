"""Vector quantisation with a codebook learned by exponential moving averages.

VQ-VAE (van den Oord 2017, appendix A.1) with k-means initialisation and revival of dead codes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

AT_ONCE = 1 << 22  # latents times codes that are compared at a time: what a processor's cache holds
AT_ONCE_ON_GPU = 1 << 25
RUN = 64  # codes of which the best is found in one go


class Quantizer(nn.Module):
    """Codebook [K, D]; the nearest code by Euclidean distance. Nothing in it is trained by gradients."""

    codebook: Tensor

    def __init__(self, codebook_size: int, codebook_dim: int):
        super().__init__()
        self.register_buffer("codebook", nn.init.normal_(torch.empty(codebook_size, codebook_dim)))

    @torch.no_grad()
    def encode(self, latents: Tensor) -> Tensor:
        """Find the nearest code of each latent: [..., D] -> [...] int64."""
        # argmin |z - c|^2 = argmax z.c - |c|^2 / 2
        offset = -0.5 * self.codebook.square().sum(1)
        flat = latents.reshape(-1, latents.shape[-1])
        limit = AT_ONCE_ON_GPU if flat.is_cuda else AT_ONCE
        # of about one size: a single row left over would be multiplied in another order, to other last bits
        parts = flat.chunk(-(-flat.shape[0] * len(self.codebook) // limit))
        scores = flat.new_empty(
            len(parts[0]), len(self.codebook)
        )  # anew for each, its pages would be cleared
        codes = [
            find_best(torch.addmm(offset, part, self.codebook.T, out=scores[: len(part)])) for part in parts
        ]
        return torch.cat(codes).view(latents.shape[:-1])

    def lookup(self, codes: Tensor) -> Tensor:
        """Look up the vectors [..., D] of codes [...]."""
        return F.embedding(codes, self.codebook)

    @torch.no_grad()
    def fit(self, latents: Tensor, steps: int, revive: float = 0.02) -> None:
        """Learn the codebook from latents [N, D], N > K: each step assigns all and averages.

        Starts from distinct random latents. The rarest codes (all dead ones, and the `revive` share in
        the first half of the steps) move to latents that are served badly; counts and sums then decay
        between the later steps, so that the centroids settle.
        """
        size, n = len(self.codebook), len(latents)
        self.codebook.copy_(latents[torch.randperm(n, device=latents.device)[:size]])
        count, total = latents.new_zeros(size), torch.zeros_like(self.codebook)
        for step in range(steps):
            codes = self.encode(latents)
            decay = 0.0 if step < steps // 2 else 0.5
            count.mul_(decay).add_(torch.bincount(codes, minlength=size).to(latents.dtype))
            total.mul_(decay).index_add_(0, codes, latents)
            self.codebook.copy_(total / count.clamp_min(1e-3)[:, None])
            dead = max(int((count < 0.5).sum()), int(size * revive) if step < steps // 2 else 0)
            if dead and step + 1 < steps:
                error = (latents - self.lookup(codes)).square().sum(1).clamp_min(1e-12)  # some chance for all
                rare = count.argsort()[:dead]
                self.codebook[rare] = latents[torch.multinomial(error, dead)]
                count[rare], total[rare] = 1.0, self.codebook[rare]


def find_best(scores: Tensor) -> Tensor:
    """Find the first of the highest scores in each row, [N, K] -> [N] int64: argmax, but in less time.

    torch.amax, which compares many numbers at once, finds the highest of each run of them; argmax does not.
    """
    count, size = scores.shape
    if size % RUN or not count:
        return scores.argmax(1)
    runs = scores.view(count, size // RUN, RUN)
    best = runs.amax(2).argmax(1)
    return best * RUN + runs[torch.arange(count, device=scores.device), best].argmax(1)
