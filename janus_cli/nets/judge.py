"""The judge: a small classifier that says what a picture shows, and in which style.

It scores what the generator draws and is kept apart from it: nothing here ever trains a generator.
"""

from torch import Tensor, nn

from janus_cli.config import JudgeConfig
from janus_cli.nets.finite import check_finite

STEM = 4  # pixels per cell side of the first feature map


class ConvBlock(nn.Module):
    """3x3 convolution, batch norm, GELU; with a shortcut where the shape stays."""

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.activation = nn.GELU()
        self.shortcut = channels == width and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, width, H / stride, W / stride]."""
        y: Tensor = self.activation(self.norm(self.conv(x)))
        return x + y if self.shortcut else y


class Judge(nn.Module):
    """Pixels [B, 3, S, S] in [-1, 1] -> (concept logits [B, n_concept], style logits [B, n_style]).

    S is `cfg.size`. Widths are dim, 2 dim and 3 dim at a 4th, an 8th and a 16th of the resolution. What
    stands where is kept: averaged over the picture, the features of 1,209 concepts took far longer to
    tell apart. With the defaults 31 M multiplications a picture, and 2.2 M weights for 1,455 concepts.
    """

    def __init__(self, cfg: JudgeConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.trunk = nn.Sequential(
            nn.PixelUnshuffle(STEM),
            ConvBlock(3 * STEM**2, cfg.dim),
            ConvBlock(cfg.dim, 2 * cfg.dim, stride=2),
            ConvBlock(2 * cfg.dim, 2 * cfg.dim),
            ConvBlock(2 * cfg.dim, 3 * cfg.dim, stride=2),
            ConvBlock(3 * cfg.dim, 3 * cfg.dim),
        )
        cells = (cfg.size // (4 * STEM)) ** 2
        self.embed = nn.Sequential(
            nn.Flatten(),
            nn.Linear(3 * cfg.dim * cells, 5 * cfg.dim, bias=False),
            nn.BatchNorm1d(5 * cfg.dim),
            nn.GELU(),
        )
        self.concept = nn.Linear(5 * cfg.dim, cfg.n_concept)
        self.style = nn.Linear(5 * cfg.dim, cfg.n_style)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the logits of the concepts and of the styles."""
        features = self.embed(self.trunk(pixels))
        return check_finite(self.concept(features), self), check_finite(self.style(features), self)
