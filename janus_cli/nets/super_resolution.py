"""Published super-resolution nets (SwinIR, ESRGAN, SPAN, HAT ...), by way of the `spandrel` package.

spandrel tells the architecture and its sizes from the tensors' names and shapes, and has the networks.
"""

import contextlib
import importlib
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from janus_cli.errors import ModelError, UsageError
from janus_cli.nets.standins import stand_in

EXTRA = "janus-cli[sr]"
_ALIGN = 32  # px; the windows of most attention nets (8, 16, 32) divide it
_TORCHVISION = {  # module -> what spandrel's nets for faces and inpainting (refused here) take of it
    "torchvision": (),
    "torchvision.transforms": (),
    "torchvision.transforms.functional": ("InterpolationMode", "normalize", "rotate"),
}


def import_spandrel() -> Any:
    """Import spandrel. Raises UsageError where it is not installed."""
    if loaded := sys.modules.get("spandrel"):
        return loaded
    try:
        with stand_in(_TORCHVISION):
            return importlib.import_module("spandrel")
    except ModuleNotFoundError as error:
        raise UsageError(
            "super-resolution checkpoints need the package "
            f"{(error.name or 'spandrel').partition('.')[0]}: pip install '{EXTRA}'"
        ) from None


class Enlarger:
    """A net that makes pictures `scale` times larger; 1 where it only restores them.

    architecture: as spandrel calls it. align: px; where tiles start at multiples of it, an attention net's
    windows lie in them as they do in the whole. whole: spandrel's authors advise against tiles.
    """

    def __init__(self, net: Any, name: str) -> None:
        """`net`: spandrel's descriptor. Raises ModelError where it does something else than enlarge RGB."""
        self.net, self.name = net, name
        self.scale, self.architecture = int(net.scale), str(net.architecture.name)
        said = f"{name}: a {self.architecture} checkpoint"
        if net.purpose not in ("SR", "Restoration"):
            raise ModelError(f"{said} for {net.purpose}: only super-resolution and restoration work here")
        self._channels = int(net.input_channels)
        if (net.input_channels, net.output_channels) not in ((3, 3), (1, 1)):
            raise ModelError(
                f"{said} from {net.input_channels} to {net.output_channels} channels: only RGB "
                "and grey ones work here"
            )
        step = net.size_requirements.multiple_of
        self.align = step * -(-_ALIGN // step)
        self.whole = net.tiling.name != "SUPPORTED"

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], name: str, device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> "Enlarger":
        """Make the net whose weights `state` holds; `name` is the file's, for messages.

        Raises ModelError for weights of an unknown architecture, or that do not fit theirs; UsageError for
        a dtype that the architecture cannot compute in.
        """
        spandrel = import_spandrel()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of torch's, at how some nets are written
                net = spandrel.MAIN_REGISTRY.load(spandrel.canonicalize_state_dict(dict(state)))
        except spandrel.UnsupportedModelError:
            raise ModelError(
                f"{name}: no super-resolution checkpoint of an architecture that spandrel "
                f"{spandrel.__version__} knows"
            ) from None
        except Exception as error:  # on strange tensors its detectors and nets raise nearly anything
            reason = " ".join(str(error).split())[:120]
            raise ModelError(
                f"{name}: its weights fit no architecture that spandrel {spandrel.__version__} "
                f"knows ({type(error).__name__}: {reason})"
            ) from None
        made = cls(net, name)
        try:
            net.to(device=device, dtype=dtype).eval()
        except spandrel.UnsupportedDtypeError:
            raise UsageError(
                f"{made.architecture} cannot compute in {str(dtype)[6:]}: leave --dtype away"
            ) from None
        return made

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.net.device

    @torch.inference_mode()
    def __call__(self, picture: Tensor) -> Tensor:
        """Enlarge RGB [1, 3, H, W] in [0, 1] to float32 [1, 3, H * scale, W * scale] in [0, 1], of any size.

        A grey net gets the three channels one by one. Nets that draw random numbers always draw the same.
        Raises ModelError where the net's output has another size or no finite numbers.
        """
        given = picture.to(self.net.device, self.net.dtype)
        with torch.random.fork_rng(devices=[given.device] if given.is_cuda else []), self._guard(given):
            torch.manual_seed(0)
            parts = torch.split(given, self._channels, dim=1)
            out = torch.cat([self.net(part) for part in parts], dim=1).float()
        wanted = (1, 3, picture.shape[2] * self.scale, picture.shape[3] * self.scale)
        if out.shape != wanted:
            raise ModelError(
                f"{self.name}: gives {list(out.shape)} where {list(wanted)} is due: its "
                f"scale is not the {self.scale} that its weights look like"
            )
        if not out.isfinite().all():
            raise ModelError(
                f"{self.name}: gives values that are no finite numbers: its weights are "
                "damaged, or need another --dtype"
            )
        return out

    @contextlib.contextmanager
    def _guard(self, given: Tensor) -> Iterator[None]:
        """Silence torch's warnings about how a net is written, and say in our words that memory failed."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except RuntimeError as error:  # torch.OutOfMemoryError is one; on a CPU it is a plain one
            if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
                raise
            size = f"{given.shape[3]} x {given.shape[2]}"
            raise ModelError(
                f"{self.name}: no memory for {size} pixels at once: give a smaller --tile"
            ) from None
