"""The part of a pipeline that draws: denoiser, upsampler, and every stage from prompt to pixels."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, cast

from janus_cli.errors import UsageError
from janus_cli.pipeline import options as choices
from janus_cli.pipeline.options import DrawOptions
from janus_cli.pipeline.understanding import Understanding

if TYPE_CHECKING:
    import numpy as np

    from janus_cli.nets.dvae import DVAE
    from janus_cli.nets.refiner import Refiner
    from janus_cli.nets.vq16 import VQ16
    from janus_cli.records import Record
    from janus_cli.stages.generate import GenerateOptions
    from janus_cli.stages.page import Page

    Stage = Callable[[Record], Iterator[Record]]  # a record or part -> what comes of it

Progress = Callable[[int], None]  # called with each number of newly generated tokens
Watch = Callable[[str, "Record"], None]  # called with a stage's name and each part that it makes


class Drawing(Understanding):
    """What `Pipeline` does to sharpen, to enlarge and to draw. It gives the loading, tokens and checks."""

    check: Callable[["Record"], "Record"]
    encode: Callable[["np.ndarray"], "Record"]
    tokenize: Callable[[str, str], "Record"]
    generate: Callable[..., Iterator["Record"]]
    generate_options: Callable[[DrawOptions], "GenerateOptions"]

    @cached_property
    def refiner(self) -> "Refiner":
        """Denoiser and upsampler."""
        from janus_cli.nets.refiner import Refiner

        return self._load("refiner", Refiner)

    @property
    @abstractmethod
    def dvae(self) -> "DVAE | VQ16":
        """The image tokenizer."""

    @property
    def _own_dvae(self) -> "DVAE":
        self.model.file("refiner")  # only a model that has one comes here
        return cast("DVAE", self.dvae)

    def denoiser(
        self,
        steps: int | None = None,
        noise: float = 0.0,
        seed: int = 0,
        stream: bool = False,
        scale: int = 1,
    ) -> "Stage":
        """`denoise` of one record or part after the other."""
        from janus_cli.stages.denoise import Denoise, DenoiseOptions

        dvae = self._own_dvae
        options = DenoiseOptions(self.refiner.cfg.steps if steps is None else steps, noise, seed, scale)
        stage = Denoise(dvae, self.refiner, options, stream)
        return lambda record: stage(self.check(record))

    def upsampler(self, scale: int | None = None, stream: bool = False, steps: int | None = None) -> "Stage":
        """`upsample` of one record or part after the other."""
        from janus_cli.stages.upsample import Upsample, UpsampleOptions

        dvae = self._own_dvae
        usual = self.model.config.generation.upsample
        steps = self.refiner.cfg.up_steps if steps is None else steps
        options = UpsampleOptions(usual if scale is None else scale, follow=scale is None, steps=steps)
        stage = Upsample(dvae, self.refiner, options, stream)
        return lambda record: stage(self.check(record))

    def denoise(
        self,
        records: Iterable["Record"],
        steps: int | None = None,
        noise: float = 0.0,
        seed: int = 0,
        stream: bool = False,
        scale: int = 1,
    ) -> Iterator["Record"]:
        """Each record with a sharpened `pixels` segment after its image tokens, `scale` times as large.

        Parts of a record are taken as they come; `stream`: parts are given as their rows are done, the last
        with the whole. Without it the last part is waited for, and whole records are given.
        """
        from janus_cli.records.progressive import run_stage

        return run_stage(self.denoiser(steps, noise, seed, stream, scale), records)

    def upsample(
        self,
        records: Iterable["Record"],
        scale: int | None = None,
        stream: bool = False,
        steps: int | None = None,
    ) -> Iterator["Record"]:
        """Each record with its pixels enlarged `scale` times: 1 (as they are), 2 or 4. `stream`: as above.

        None: as the record's page was laid out for, else the model's own. `steps`: evaluations of a patch in
        passes that denoise what was enlarged; 0 = none do.
        """
        from janus_cli.records.progressive import run_stage

        return run_stage(self.upsampler(scale, stream, steps), records)

    def lay_out(self, records: Iterable["Record"], page: "Page | None") -> Iterator["Record"]:
        """Each record with its square of image tokens laid out as `page`; as it is for None."""
        from janus_cli.stages.page import lay_out

        def finish(record: "Record") -> "np.ndarray":
            return self._picture(next(self.upsample(self.denoise([record]))).segments[-1])

        return iter(records) if page is None else lay_out(records, page, self._picture, finish, self.encode)

    def draw(
        self,
        prompts: Iterable[str | None],
        options: DrawOptions = DrawOptions(),  # noqa: B008 (frozen)
        progress: Progress | None = None,
        watch: "Watch | None" = None,
    ) -> Iterator["Record"]:
        """Every stage from prompt to pixels: `options.n` records a prompt, in order; none for a None.

        `watch` is called with "generate", "denoise" or "upsample" and every part that it makes, as soon as
        it is made: rows of tokens and pixels, and then the whole. It changes no record.
        """
        from janus_cli.records.progressive import as_part, is_whole

        if self.published is not None and (options.steps or options.scale not in (None, 1)):
            raise UsageError(f"no --steps or scale: {self.model.name} has no denoiser and no upsampler")
        stream, page = watch is not None, choices.page_for(self.model, options.size)
        records = (p if p is None else self.tokenize(p, str(i)) for i, p in enumerate(prompts))
        made = _watched(
            "generate", self.generate(records, self.generate_options(options), progress, stream), watch
        )
        if self.published is None:
            made = self.lay_out(made, page)
            made = _watched("denoise", self.denoise(made, options.steps, stream=stream), watch)
            made = _watched("upsample", self.upsample(made, options.scale, stream), watch)
        return (as_part(record, None) for record in made if is_whole(record))


def _watched(name: str, records: Iterator["Record"], watch: "Watch | None") -> Iterator["Record"]:
    """The same records, each shown before it is passed on."""
    for record in records:
        if watch is not None:
            watch(name, record)
        yield record
