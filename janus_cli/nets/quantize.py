"""Vector quantisation on the unit sphere with a codebook learned by exponential moving averages.

VQ-VAE (van den Oord 2017, appendix A.1) with cosine distance as in ViT-VQGAN (Yu 2021), k-means
initialisation, and revival of dead codes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Quantizer(nn.Module):
    """Codebook [K, D] of unit vectors; nothing in it is trained by gradients."""

    codebook: Tensor
    count: Tensor
    total: Tensor

    def __init__(self, codebook_size: int, codebook_dim: int):
        super().__init__()
        codebook = F.normalize(torch.randn(codebook_size, codebook_dim), dim=-1)
        self.register_buffer("codebook", codebook)
        self.register_buffer("count", torch.ones(codebook_size), persistent=False)
        self.register_buffer("total", codebook.clone(), persistent=False)

    def encode(self, latents: Tensor) -> Tensor:
        """Nearest code of each latent [..., D] -> [...] int64."""
        return (latents @ self.codebook.T).argmax(-1)

    def lookup(self, codes: Tensor) -> Tensor:
        """Code vectors [..., D] of codes [...]."""
        return F.embedding(codes, self.codebook)

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Unit latents [..., D] -> (quantised with straight-through gradient, codes, commitment loss)."""
        codes = self.encode(latents.detach())
        quantised = self.lookup(codes)
        commitment = (latents - quantised).square().sum(-1).mean()
        return latents + (quantised - latents).detach(), codes, commitment

    @torch.no_grad()
    def update(self, latents: Tensor, codes: Tensor, decay: float = 0.99, revive_below: float = 0.03) -> int:
        """Move codes towards the latents [N, D] assigned to them; returns how many dead ones were revived.

        A code is dead when its moving count falls under `revive_below` assignments a step; it is
        placed on a random latent of this batch.
        """
        counts = torch.bincount(codes, minlength=len(self.codebook)).to(latents.dtype)
        sums = torch.zeros_like(self.total).index_add_(0, codes, latents)
        self.count.mul_(decay).add_(counts, alpha=1 - decay)
        self.total.mul_(decay).add_(sums, alpha=1 - decay)
        dead = (self.count < revive_below).nonzero().flatten()
        if len(dead):
            # rare latents first: patches that several codes already share need no further code
            rarity = 1 / counts[codes]
            take = min(len(dead), len(latents))
            chosen = torch.multinomial(rarity, take)
            dead = dead[:take]
            self.total[dead] = latents[chosen]
            self.count[dead] = 1.0
        self.codebook.copy_(F.normalize(self.total, dim=-1))
        return len(dead)

    @torch.no_grad()
    def kmeans(self, latents: Tensor, steps: int = 10) -> None:
        """Spherical k-means on latents [N, D], N >= K, starting from distinct random ones."""
        size = len(self.codebook)
        self.codebook.copy_(latents[torch.randperm(len(latents), device=latents.device)[:size]])
        for _ in range(steps):
            codes = torch.cat([self.encode(part) for part in latents.split(8192)])
            sums = torch.zeros_like(self.codebook).index_add_(0, codes, latents)
            empty = sums.norm(dim=-1) < 1e-6
            sums[empty] = latents[torch.randint(len(latents), (int(empty.sum()),), device=latents.device)]
            self.codebook.copy_(F.normalize(sums, dim=-1))
        self.total.copy_(self.codebook)
        self.count.fill_(1.0)
