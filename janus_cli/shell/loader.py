"""Which model a command uses: the one that --model names, else the one that a record names."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from janus_cli import zoo
from janus_cli.errors import JanusError, ModelError
from janus_cli.pipeline import Pipeline
from janus_cli.shell.console import Talk
from janus_cli.shell.devices import Device, Dtype, pick_device
from janus_cli.shell.failures import Failures
from janus_cli.shell.inputs import is_awaited, make_label
from janus_cli.shell.sinks import Destination

if TYPE_CHECKING:
    from janus_cli.records import Record


class Loader:
    """Pipelines by model name; each model is loaded once, the device chosen once, when first needed."""

    def __init__(self, model: str | None, device: Device, talk: Talk, dtype: Dtype = Dtype.auto) -> None:
        self._model, self._wanted, self._talk, self._dtype = model, device, talk, dtype
        self._said: set[str] = set()
        self._pipelines: dict[str, Pipeline] = {}

    @cached_property
    def _device(self) -> str:
        """The torch device; chosen when the first net is loaded."""
        return pick_device(self._wanted)

    def _device_for(self, name: str) -> str:
        """Give the device on which a model is about to be loaded; say it on stderr with its dtype."""
        line = f"device {self._device}, {self._pipelines[name].nets.pick_dtype(self._device)}"
        if line not in self._said:
            self._said.add(line)
            self._talk(line)
        return self._device

    def open(self, name: str | None = None) -> Pipeline:
        """Open the model of --model, else `name`, else the default. Raises ModelError if there is none."""
        name = self._model or name or zoo.DEFAULT
        if name not in self._pipelines:
            self._pipelines[name] = Pipeline(
                zoo.find(name), partial(self._device_for, name), self._dtype.value
            )
        return self._pipelines[name]

    def open_for(self, record: "Record") -> Pipeline:
        """Open the model whose tokens `record` holds. Raises ModelError where it is not here."""
        return self.open(self._model or find_model_name(record))

    def load_meanwhile(
        self, inputs: Sequence[str] | None, target: Destination, load: Callable[[Pipeline], object]
    ) -> None:
        """Load the nets of the model that the records are probably of while the stage before is at work.

        What fails here will fail, and be said, when it is needed. Nothing is loaded where `target` is there.
        """
        if is_awaited(inputs) and not target.is_done:
            with contextlib.suppress(JanusError):
                load(self.open())

    def run_each(
        self,
        records: Iterable["Record"],
        failures: Failures,
        begin: Callable[[Pipeline], Callable[["Record"], Iterator["Record"]]],
    ) -> Iterator["Record"]:
        """Run records one at a time through the stage of their model; those that fail are counted.

        `begin` makes the stage of a model, which may keep parts of a result until the others come. After a
        part that failed the other parts of its result are passed over, without counting them.
        """
        from janus_cli.records.progressive import is_whole, name_result

        failed = failures.results
        stages: dict[Pipeline, Callable[[Record], Iterator[Record]]] = {}
        for i, record in enumerate(records):
            if (result := name_result(record)) in failed:
                if is_whole(record):
                    failed.discard(result)
                continue
            before = failures.count
            with failures.item(make_label(record, i)):
                pipeline = self.open_for(record)
                if pipeline not in stages:
                    stages[pipeline] = begin(pipeline)
                yield from stages[pipeline](record)
            if failures.count > before and not is_whole(record):
                failed.add(result)

    def group(
        self, records: Iterable["Record | None"], failures: Failures
    ) -> Iterator[tuple[Pipeline, Iterator["Record | None"]]]:
        """Group neighbouring records by their model; those whose model is not here are counted as failed.

        A None, for no more that are waiting, stays with those before it.
        """

        def find_models() -> Iterator[tuple[Pipeline, "Record | None"]]:
            last: Pipeline | None = None
            for record in records:
                if record is None:
                    yield from [(last, None)] if last is not None else ()
                    continue
                with failures.item():
                    last = self.open_for(record)
                    yield last, record

        for pipeline, group in groupby(find_models(), key=itemgetter(0)):
            yield pipeline, (record for _, record in group)


def find_model_name(record: "Record") -> str | None:
    """Find the name of the model that made a record's image tokens, else audio, else text tokens."""
    for modality in ("image", "audio", "text"):
        segment = record.find(modality)
        if segment is not None and "tokenizer" in segment.info:
            name: str = segment.info["tokenizer"]
            try:
                zoo.find(name)
            except ModelError:
                raise ModelError(
                    f"the record was made by model {name!r}, which is not here: "
                    "choose one with --model NAME or --model FOLDER"
                ) from None
            return name
    return None
