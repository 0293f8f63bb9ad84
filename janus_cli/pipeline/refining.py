"""From image tokens to the finished picture: denoise, enlarge, lay out pages."""

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, cast

from janus_cli import weights, zoo
from janus_cli.pipeline.tokenizers import Pictures

if TYPE_CHECKING:
    import numpy as np

    from janus_cli.nets.dvae import DVAE
    from janus_cli.nets.refiner import Refiner
    from janus_cli.records import Record
    from janus_cli.stages.page import Page

    Transform = Callable[[Record], Iterator[Record]]  # a record or part -> what comes of it


class Refining:
    """The denoiser and upsampler of one model. Raises ModelError, when first used, where it has none."""

    def __init__(
        self,
        model: zoo.Model,
        pictures: Pictures,
        device: Callable[[], str],
        check: "Callable[[Record], Record]",
    ) -> None:
        """`check`: gives a record back, or raises what is wrong with its tokens."""
        self._model, self._pictures, self._device, self._check = model, pictures, device, check

    @cached_property
    def refiner(self) -> "Refiner":
        """The net, one trunk with two heads."""
        net: Refiner = weights.load_component(self._model, "refiner", self._device)
        return net

    @property
    def _dvae(self) -> "DVAE":
        self._model.file("refiner")  # only a model that has one comes here
        return cast("DVAE", self._pictures.dvae)

    def denoiser(
        self,
        steps: int | None = None,
        noise: float = 0.0,
        seed: int = 0,
        stream: bool = False,
        scale: int = 1,
    ) -> "Transform":
        """Make what adds sharpened pixels, `scale` times as large, to one record or part after the other.

        Parts of a record are taken as they come; `stream`: parts are given as their rows are done, the last
        with the whole. Without it the last part is waited for, and whole records are given.
        """
        from janus_cli.stages.denoise import Denoise, DenoiseOptions

        dvae = self._dvae
        options = DenoiseOptions(self.refiner.cfg.steps if steps is None else steps, noise, seed, scale)
        stage = Denoise(dvae, self.refiner, options, stream)
        return lambda record: stage(self._check(record))

    def upsampler(
        self, scale: int | None = None, stream: bool = False, steps: int | None = None
    ) -> "Transform":
        """Make what enlarges the pixels of one record or part after the other; `stream` as in `denoiser`.

        `scale`: 1 (as they are), 2 or 4; None: as the record's page was laid out for, else the model's own.
        `steps`: evaluations of a patch in passes that denoise what was enlarged; 0 = none do.
        """
        from janus_cli.stages.upsample import Upsample, UpsampleOptions

        dvae = self._dvae
        usual = self._model.config.generation.upsample
        steps = self.refiner.cfg.up_steps if steps is None else steps
        options = UpsampleOptions(usual if scale is None else scale, follow=scale is None, steps=steps)
        stage = Upsample(dvae, self.refiner, options, stream)
        return lambda record: stage(self._check(record))

    def denoise(
        self, records: Iterable["Record"], steps: int | None = None, stream: bool = False
    ) -> Iterator["Record"]:
        """Give each record a sharpened `pixels` segment after its image tokens, as `denoiser` does."""
        from janus_cli.records.progressive import run_stage

        return run_stage(self.denoiser(steps, stream=stream), records)

    def upsample(
        self, records: Iterable["Record"], scale: int | None = None, stream: bool = False
    ) -> Iterator["Record"]:
        """Enlarge each record's pixels, as `upsampler` does."""
        from janus_cli.records.progressive import run_stage

        return run_stage(self.upsampler(scale, stream), records)

    def lay_out(self, records: Iterable["Record"], page: "Page | None") -> Iterator["Record"]:
        """Lay each record's square of image tokens out as `page`; leave it as it is for None."""
        from janus_cli.stages.page import lay_out

        def finish(record: "Record") -> "np.ndarray":
            return self._pictures.decode(next(self.upsample(self.denoise([record]))).segments[-1])

        if page is None:
            return iter(records)
        return lay_out(records, page, self._pictures.decode, finish, self._pictures.encode)
