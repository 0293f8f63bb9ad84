"""A published Janus-Pro checkpoint as a net whose parts are filled when first needed; a codec, whole.

Puts together what knows only itself: the net, the file, the table of names. `draw` never reads the vision
encoder, `decode` reads only the image tokenizer.
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from janus_cli.config import CodecConfig, JanusProConfig
from janus_cli.zoo import encodec

if TYPE_CHECKING:
    import torch

    from janus_cli.nets.codec import Codec
    from janus_cli.nets.janus_pro import JanusPro
    from janus_cli.weights.checkpoint import Checkpoint
    from janus_cli.weights.remap import Source

GENERATE = ("language_model", "gen_embed", "gen_aligner", "gen_head")
UNDERSTAND = ("language_model", "vision_model", "aligner")
TOKENIZE = ("gen_vision_model",)
CODEBOOK = "gen_vision_model.quantize.embedding.weight"


class PublishedNet:
    """A published Janus-Pro net whose parts are filled when they are needed, from the checkpoint in `path`.

    Raises ModelError when first used if a tensor is missing or does not fit."""

    def __init__(self, path: Path, config: JanusProConfig, name: str = "") -> None:
        """`name`: the model's, for messages."""
        self.path, self.config, self.name = path, config, name or path.name
        self._filled: set[str] = set()

    @cached_property
    def checkpoint(self) -> "Checkpoint":
        """The weight files; only their headers are read."""
        from janus_cli.weights.checkpoint import Checkpoint

        return Checkpoint.open(self.path)

    @cached_property
    def net(self) -> "JanusPro":
        """The whole net without its weights: on the meta device."""
        from janus_cli.nets.janus_pro import JanusPro
        from janus_cli.weights.modules import build_hollow, check_depth

        where = self.path / "config.json"
        for part in (self.config.decoder, self.config.vision, self.config.vq):
            check_depth(part, self.checkpoint, f"{where}")
        return build_hollow(lambda: JanusPro(self.config), where)

    @cached_property
    def plan(self) -> "dict[str, Source]":
        """Where each tensor of the net lies, in the order of the files. Raises ModelError as said above."""
        from janus_cli.weights import remap

        shapes = {name: tuple(tensor.shape) for name, tensor in self.net.state_dict().items()}
        plan = remap.plan_sources(shapes, self.checkpoint.shapes(), self.config.layout, self.path)
        place = {name: i for i, name in enumerate(self.checkpoint)}
        return dict(sorted(plan.items(), key=lambda item: place[item[1].names[0]]))

    def tensor(self, name: str) -> "torch.Tensor":
        """Read our tensor `name` as it is stored."""
        return self.plan[name].join(self.checkpoint.__getitem__)

    def fill(self, parts: tuple[str, ...], device: str, dtype: "torch.dtype") -> "JanusPro":
        """Fill at least `parts` of the net, on `device` in `dtype`, and return it.

        Tensors stored so stay mapped to the file on the CPU; the others are copied one at a time, and what
        was read of the file for them does not stay in memory.
        """
        from janus_cli.nets.finite import note_origin
        from janus_cli.weights.modules import fill

        def ready(name: str) -> "torch.Tensor":
            stored = self.tensor(name)
            tensor = stored.to(device, dtype)
            if tensor is not stored:
                self.checkpoint.note_copied(stored.nbytes)
            return tensor

        todo = [name for name in self.plan if name.partition(".")[0] in set(parts) - self._filled]
        net = fill(self.net, ready, todo)
        note_origin(net, "decoder", self.name)
        note_origin(net.gen_vision_model, "image tokenizer", self.name)
        note_origin(net.vision_model.vision_tower, "vision encoder", self.name)
        if "language_model" in parts:
            self.net.language_model.to(device)  # its table of rotations, which no file holds
        self._filled |= set(parts)
        return self.net


def load_codec(path: Path, config: CodecConfig, device: str) -> "Codec":
    """Load a published EnCodec checkpoint: a .th file, or a folder in transformers' layout.

    Raises ModelError naming the tensor that is missing, unknown or mis-shaped, or what else does not fit.
    """
    import torch

    from janus_cli.nets.codec import Codec
    from janus_cli.nets.finite import note_origin
    from janus_cli.weights import remap
    from janus_cli.weights.checkpoint import Checkpoint
    from janus_cli.weights.modules import build_hollow, check_depth

    checkpoint = Checkpoint.open(path)
    check_depth(config, checkpoint, f"{path}")
    net = build_hollow(lambda: Codec(config), path)
    shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    layout = encodec.PACKAGE if path.is_file() else encodec.TRANSFORMERS
    plan = remap.plan_sources(shapes, checkpoint.shapes(), layout, path)
    state = {
        name: source.join(checkpoint.__getitem__).to(device, torch.float32) for name, source in plan.items()
    }
    net.load_state_dict(state, strict=True, assign=True)
    note_origin(net, "codec", path.name)
    return net.eval().requires_grad_(False)
