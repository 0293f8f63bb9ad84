"""The stages chained in one process, on one model: what the commands call, and the Python API.

    from janus_cli.pipeline import Sampling, load

    pipeline = load("pocket")
    picture = pipeline.draw_picture("a red apple", Sampling(seed=7))  # uint8 [H, W, 3]
    for record in pipeline.draw(["a cat", "a dog"]):
        picture = pipeline.decode(record)

docs/python.md goes through all of it. Opens a model's own files; no other file, no standard stream.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Union, cast

from janus_cli import zoo
from janus_cli.config import Progress, PublishedConfig
from janus_cli.errors import ModelError, RecordError, UsageError
from janus_cli.pipeline.janus_pro import JanusProNets
from janus_cli.pipeline.nets import Nets
from janus_cli.pipeline.options import PictureOptions, Sampling, complete, space_seeds
from janus_cli.pipeline.own import OwnNets
from janus_cli.pipeline.plan import Plan
from janus_cli.pipeline.refining import Refining
from janus_cli.pipeline.tokenizers import Sounds, check_fingerprint, open_text
from janus_cli.stages.wording import clean_prompt

if TYPE_CHECKING:
    import numpy as np

    from janus_cli.media.sounds import Sound
    from janus_cli.records import Record
    from janus_cli.stages.lexicon import Lexicon, Reading
    from janus_cli.stages.page import Page
    from janus_cli.stages.text import TextTokenizer

QUESTION = "Describe this picture."  # to a model that answers questions, where none is asked
Given = Union[str, "Record"]  # a prompt: a text, or a record of words, pictures and sounds
Watch = Callable[[str, "Record"], None]  # called with a stage's name and each part that it makes


class Pipeline:
    """One model on one device. Its parts load their nets when they are first used.

    nets: the decoder; pictures, sounds: the image and the audio tokenizer; refining: denoiser and upsampler.
    What a model lacks is a ModelError when it is asked for.
    """

    def __init__(
        self, model: zoo.Model, device: str | Callable[[], str] = "cpu", dtype: str = "auto"
    ) -> None:
        """`device`: a torch device's name, or what gives it when the first net is loaded.

        `dtype`: fp32, bf16 or auto (bf16 on a GPU where the model is a published one). Raises UsageError
        for bf16 where the model is not.
        """
        self.model, self._device, config = model, device, model.config
        where, text = lambda: self.device, lambda: self.text
        self.nets: Nets = (
            JanusProNets(model, config.janus_pro, where, text, dtype)
            if isinstance(config, PublishedConfig)
            else OwnNets(model, where, text, dtype)
        )
        self.pictures = self.nets.pictures
        self.sounds = Sounds(model, where)
        self.refining = Refining(model, self.pictures, where, self.check)

    @cached_property
    def device(self) -> str:
        """The torch device that the nets are on."""
        return self._device if isinstance(self._device, str) else self._device()

    @cached_property
    def text(self) -> "TextTokenizer":
        """The text tokenizer (no torch)."""
        return open_text(self.model.tokenizer_file, self.model.name, self.model.config)

    # ---- media to tokens and back

    def tokenize(self, text: str, id: str = "") -> "Record":
        """Turn a prompt into a record with one text segment. Raises what `clean_prompt` does."""
        return self.text.encode(clean_prompt(text), id)

    def show(self, image: "np.ndarray", id: str = "", source: str = "") -> "Record":
        """Turn a picture uint8 [H, W, 3] into a record of its pixels: a prompt of a model that sees.

        Raises MediaError for any other array.
        """
        from janus_cli.media.pictures import check_image
        from janus_cli.records import Record, Segment

        check_image(image, source)
        note = {"modality": "pixels"} | ({"source": source} if source else {})
        pixels = Segment("pixels", image[:, :, None, None])
        return Record((pixels,), id).with_step("tokenize", None, **note)

    def play(self, waveform: "np.ndarray", sample_rate: int, id: str = "", source: str = "") -> "Record":
        """Turn a sound, floats [channels, samples] or [samples] at ±1, into a record of its tokens.

        Of any rate in Hz and any channels; it is a prompt of a model that hears. Raises MediaError for any
        other array.
        """
        from janus_cli.media.sounds import fit, make_sound

        codec = self.sounds.codec.cfg
        sound = fit(make_sound(waveform, sample_rate), codec.sample_rate, codec.channels)
        return self.sounds.encode(sound.pieces, id, source)

    def decode(self, record: "Record") -> "np.ndarray | str | Sound":
        """Decode the record's last segment: to a picture, uint8 [H, W, 3], a text, or a sound.

        Raises RecordError for a record without segments, ModelError for another model's tokens.
        """
        if not record.segments:
            raise RecordError("the record is empty: nothing to decode")
        segment = record.segments[-1]
        if segment.modality == "text":
            return self.text.decode(segment)
        if segment.modality in ("audio", "waveform"):
            return self.sounds.decode(segment)
        if segment.modality == "image":
            self.check(record)
        return self.pictures.decode(segment)

    def check(self, record: "Record") -> "Record":
        """Give `record` back. Raises ModelError for another model's tokens, RecordError for foreign ids."""
        for segment in record.segments:
            if segment.modality == "text":
                check_fingerprint(segment, self.model.text_fingerprint, self.model.name)
            self.sounds.check(segment)
            self.pictures.check(segment)
        return record

    @cached_property
    def lexicon(self) -> "Lexicon | None":
        """What everyday words mean to the model; None where it does not say. Raises ModelError."""
        from janus_cli.stages.lexicon import FILE, Lexicon

        file = self.model.path / FILE
        return Lexicon.read(file) if file.is_file() else None

    def interpret(self, record: "Record") -> "tuple[Record, Reading | None]":
        """Read a prompt for a picture by the model's lexicon: the record to draw, and how it was read.

        Words get the names that the model learned, and a step "interpret" says which. None where there is
        nothing to say, and for prompts of anything but one text.
        """
        if len(record.segments) != 1 or record.segments[0].modality != "text" or self.lexicon is None:
            return record, None
        reading = self.lexicon.interpret(self.text.decode(record.segments[0]))
        segment = self.text.encode(reading.text).segments[0]
        learned = self.model.config.generation.caption
        beyond = self.text.spell(segment.data[learned:].tolist()) if 0 < learned < len(segment.data) else ""
        if reading.changes:
            changes = [list(change) for change in reading.changes]
            record = record.with_step("interpret", [segment], text=reading.text, changes=changes)
        if not reading.changes and reading.known and not beyond:
            return record, None
        return record, replace(reading, beyond=beyond, by=self.model.name)

    # ---- plans: what is asked for, completed once

    def plan_picture(
        self, sampling: Sampling = Sampling(), picture: PictureOptions = PictureOptions()
    ) -> Plan:
        """Plan pictures. Raises UsageError for what the model cannot draw."""
        if not self.nets.refines and (picture.steps or picture.scale not in (None, 1)):
            raise UsageError(f"no --steps or scale: {self.model.name} has no denoiser and no upsampler")
        page = None if picture.size is None else self.nets.lay_page(picture.size)
        words = ("grid", "cfg_scale", "temperature", "top_k", "top_p")
        ours = {word: getattr(self.model.config.generation, word) for word in words}
        options = complete("image", sampling, self.nets.count_beams(sampling), **ours)
        limits = "" if page is None else self._tell_limits(page)
        lay_out = partial(self.refining.lay_out, page=page)
        open_stage = partial(self.nets.open_stage, options)
        plan = Plan(options, open_stage, picture, page, limits, lay_out)
        if sampling.best_of != 1:
            plan = self._plan_choice(plan, sampling)
        return plan if sampling.literal else replace(plan, interpret=self.interpret)

    def _plan_choice(self, plan: Plan, sampling: Sampling) -> Plan:
        """Plan to keep the best of several pictures. Raises UsageError where there is nothing to choose."""
        if sampling.best_of < 1:
            raise UsageError(f"best_of is {sampling.best_of}: give at least 1")
        if not plan.options.temperature:
            raise UsageError(
                "--best-of: with temperature 0 all seeds give one picture: leave one of them away"
            )
        space_seeds(sampling.seed, sampling.n, sampling.best_of)
        eyes = self.eyes

        def choose(records: "Iterable[Record]") -> "Iterator[Record]":
            from janus_cli.stages.choose import Choose

            look = cast("Callable[[Record], np.ndarray]", self.decode)
            return Choose(sampling.best_of, look, self.word, eyes.nets.rate, eyes.model.name)(records)

        return replace(plan, best_of=sampling.best_of, choose=choose)

    @cached_property
    def eyes(self) -> "Pipeline":
        """The model whose eyes choose among this one's pictures: itself where it sees, else zoo.SENSES.

        Raises UsageError where neither does.
        """
        if self.nets.rates:
            return self
        if isinstance(self.model.config, PublishedConfig):
            self.nets.rate([], [])  # says so
        try:
            lent = Pipeline(zoo.find(zoo.SENSES), lambda: self.device)
        except ModelError:
            raise UsageError(
                f"--best-of: model {self.model.name} does not see, and {zoo.SENSES}, whose eyes it would "
                "choose with, is not here: put it beside it, or leave it away"
            ) from None
        if not lent.nets.rates:
            raise UsageError(f"--best-of: neither {self.model.name} nor {zoo.SENSES} sees: leave it away")
        return lent

    def word(self, record: "Record") -> list[str]:
        """Word what a record's picture should show as descriptions do."""
        from janus_cli.stages.choose import word_prompt

        return word_prompt(record.step("interpret").get("text") or record.prompt, self.lexicon)

    def plan_text(self, sampling: Sampling = Sampling(), max_tokens: int | None = None) -> Plan:
        """Plan words. Raises UsageError for a model that writes none, or not as many."""
        _refuse_choice(sampling)
        options = self.nets.complete_text(sampling, max_tokens)
        return Plan(options, lambda: self.nets.open_stage(options))

    def plan_sound(self, sampling: Sampling = Sampling(), seconds: float | None = None) -> Plan:
        """Plan sounds of at most `seconds`. Raises UsageError for a model that makes none, or not as long."""
        _refuse_choice(sampling)
        options = self.nets.complete_sound(sampling, seconds)
        return Plan(options, lambda: self.nets.open_stage(options))

    def _tell_limits(self, page: "Page") -> str:
        """Say what a page cannot be; nothing where it is what the model learned."""
        rows, cols = self.model.config.generation.grid
        side, limits = min(page.width, page.height), []
        if min(page.grid) > rows or not page.is_whole:
            limits.append(f"{self.model.name} draws {rows} x {cols} tokens: a larger page has no more detail")
        if page.width != page.height:
            limits.append(f"the drawing has the middle {side} x {side} pixels, the rest is background")
        return "; ".join(limits)

    # ---- all stages at once

    def draw(
        self,
        prompts: "Iterable[Given | None]",
        sampling: Sampling = Sampling(),
        picture: PictureOptions = PictureOptions(),
        progress: Progress | None = None,
        watch: Watch | None = None,
    ) -> Iterator["Record"]:
        """Draw `sampling.n` records of each text or record, in order; a None is passed over.

        One text alone is one prompt. `progress` and `watch` are as in `render`.
        """
        plan = self.plan_picture(sampling, picture)
        given = [prompts] if isinstance(prompts, str) else prompts
        prepared = (
            plan.prepare(self._as_record(prompt, str(i)))
            for i, prompt in enumerate(given)
            if prompt is not None
        )
        return self.render(plan, prepared, progress, watch)

    def _as_record(self, prompt: "Given", id: str = "") -> "Record":
        """Turn a prompt into a record where it is none yet."""
        return self.tokenize(prompt, id) if isinstance(prompt, str) else prompt

    def render(
        self,
        plan: Plan,
        prompts: Iterable[object | None],
        progress: Progress | None = None,
        watch: Watch | None = None,
    ) -> Iterator["Record"]:
        """Run every stage from the prompts that `plan` prepared to pixels; a None is as in `draw_tokens`.

        `progress` is called with the number of new tokens of each pass; `watch` with "generate", "denoise"
        or "upsample" and every part that it makes, as soon as it is made: rows of tokens and pixels, and then
        the whole. It changes no record.
        """
        from janus_cli.records.progressive import as_part, is_whole

        stream, picture = watch is not None, plan.picture
        made = _show(watch, "generate", plan.draw_tokens(prompts, progress, stream))
        if self.nets.refines:
            made = plan.lay_out(made)
            made = _show(watch, "denoise", self.refining.denoise(made, picture.steps, stream=stream))
            made = _show(watch, "upsample", self.refining.upsample(made, picture.scale, stream))
        return (as_part(record, None) for record in made if is_whole(record))

    # ---- one prompt in, one answer out

    def draw_picture(
        self, prompt: "Given", sampling: Sampling = Sampling(), picture: PictureOptions = PictureOptions()
    ) -> "np.ndarray":
        """Draw one picture, uint8 [H, W, 3], of a text or of what a record holds."""
        return cast("np.ndarray", self.decode(next(self.draw([prompt], _alone(sampling), picture))))

    def describe(
        self,
        image: "np.ndarray",
        question: str | None = None,
        sampling: Sampling = Sampling(),
        max_tokens: int | None = None,
    ) -> str:
        """Put a picture, uint8 [H, W, 3], into words; or answer a question about it.

        Raises UsageError where the model does not see, or answers no questions.
        """
        record = self.show(image)
        if question is not None or self.nets.takes_questions:
            return "".join(self.ask([image], question or QUESTION, sampling, max_tokens))
        self.nets.check_describes()
        return cast("str", self._answer(self.plan_text(_alone(sampling), max_tokens), record))

    def ask(
        self,
        images: "Sequence[np.ndarray]",
        question: str,
        sampling: Sampling = Sampling(),
        max_tokens: int | None = None,
    ) -> Iterator[str]:
        """Answer a question about pictures, piece by piece. Raises UsageError where it answers none."""
        self.nets.check_asked()
        plan = self.plan_text(_alone(sampling), max_tokens)
        return self.nets.answer(images, question, plan.options)

    def transcribe(
        self,
        waveform: "np.ndarray",
        sample_rate: int,
        sampling: Sampling = Sampling(),
        max_tokens: int | None = None,
    ) -> str:
        """Put speech, a sound as `play` takes it, into words.

        Raises UsageError where the model does not hear, or not for so long.
        """
        from janus_cli.media.sounds import make_sound

        self.nets.check_hears()
        plan = self.plan_text(_alone(sampling), max_tokens)
        self.nets.check_sound(make_sound(waveform, sample_rate).seconds, plan.options)
        return cast("str", self._answer(plan, self.play(waveform, sample_rate)))

    def speak(
        self, prompt: "Given", sampling: Sampling = Sampling(), seconds: float | None = None
    ) -> "Sound":
        """Say a text, or what a record holds, aloud, in at most `seconds`.

        Raises UsageError where the model does not speak.
        """
        from janus_cli.media.sounds import make_sound

        plan = self.plan_sound(_alone(sampling), seconds)
        sound = cast("Sound", self._answer(plan, self._as_record(prompt)))
        return make_sound(sound.whole(), sound.sample_rate)

    def _answer(self, plan: Plan, record: "Record") -> "np.ndarray | str | Sound":
        """Decode the one record that `plan` makes of `record`."""
        return self.decode(next(plan.run([record])))


def _refuse_choice(sampling: Sampling) -> None:
    """Raise UsageError where a text or a sound is to be chosen among several."""
    if sampling.best_of != 1:
        raise UsageError("--best-of is for pictures: words and sounds are not chosen among")


def _alone(sampling: Sampling) -> Sampling:
    """Make the same options of one output."""
    return replace(sampling, n=1)


def _show(watch: Watch | None, name: str, records: Iterator["Record"]) -> Iterator["Record"]:
    """Pass the records on, each shown to `watch` before."""
    for record in records:
        if watch is not None:
            watch(name, record)
        yield record


def load(model: str = zoo.DEFAULT, device: str = "cpu", dtype: str = "auto") -> Pipeline:
    """Find the model of that name, or in that folder, ready to use; `device` and `dtype` as in `Pipeline`.

    Raises ModelError if there is none.
    """
    return Pipeline(zoo.find(model), device, dtype)
