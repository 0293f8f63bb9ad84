"""Watching pictures arrive: takes every part of a picture, and shows or writes it.

`--preview` paints it, `--frames` writes each state as a PNG, `--animation` all states as one file.
"""

import contextlib
import os
import sys
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from janus_cli.errors import UsageError
from janus_cli.media.files import atomic_write, make_folder
from janus_cli.shell.console import shorten
from janus_cli.shell.failures import Failures
from janus_cli.shell.media_output import EncodedOutput
from janus_cli.shell.names import Existing, FreeNames, slug
from janus_cli.shell.outputs import Outputs
from janus_cli.shell.progress import Rate
from janus_cli.shell.watch.preview import Preview
from janus_cli.shell.watch.terminal import Protocol, detect

if TYPE_CHECKING:
    import numpy as np

    from janus_cli.pipeline import Pipeline, Plan
    from janus_cli.records import Record
    from janus_cli.shell.watch.canvas import Canvas

    Key = tuple[str, int]

ANIMATIONS = (".webp", ".gif", ".apng")


class Watcher:
    """Shows and writes pictures under way."""

    def __init__(
        self,
        preview: bool,
        frames: str | None,
        animation: str | None,
        existing: Existing,
        failures: Failures,
    ) -> None:
        """`preview`: paint on stderr, where that is a terminal; `frames`: a folder; `animation`: a template.

        Where a frame can't be written, its picture has no more of them: one of `failures`. Raises UsageError
        for what cannot be, and touches nothing.
        """
        self._failures = failures
        self._frameless: set[Key] = set()  # pictures under way of which a frame has failed
        protocol = detect(os.environ) if preview else None
        self._protocol: Protocol | None = protocol if sys.stderr is not None and sys.stderr.isatty() else None
        self._frames = None if frames is None else Frames(frames, existing is Existing.replace)
        self._animations = None if animation is None else Animations(animation, existing)
        self._preview: Preview | None = None
        self._canvases: dict[Key, Canvas] = {}
        self._pipeline: Pipeline | None = None
        self.plan: Plan | None = None  # of the pictures that come
        self._latest: dict[Key, np.ndarray] = {}

    @property
    def paints(self) -> bool:
        """Tell whether it draws on the terminal, so that nothing else should."""
        return self._protocol is not None

    @property
    def watches(self) -> bool:
        """Tell whether it needs the parts of pictures at all."""
        return self.paints or self._keeps

    @property
    def _keeps(self) -> bool:
        return self._frames is not None or self._animations is not None

    @contextlib.contextmanager
    def begin(self, pipeline: "Pipeline", rate: Rate) -> Iterator[None]:
        """Watch what `pipeline` draws in the block, by `plan`, with the count of its tokens."""
        self._pipeline = pipeline
        with contextlib.ExitStack() as stack:
            if self._protocol is not None:
                self._preview = stack.enter_context(contextlib.closing(Preview(self._protocol, rate)))
            yield

    def add_part(self, stage: str, record: "Record") -> None:
        """Take in a part of a picture; `Pipeline.render` calls this."""
        key = find_key(record)
        if key not in self._canvases:
            assert self._pipeline is not None and self.plan is not None, "begin comes first"
            self._canvases[key] = new_canvas(self._pipeline, self.plan)
        canvas = self._canvases[key]
        canvas.paste(stage, record)
        if self._keeps:
            self._keep(key, record, canvas.render())
        if self._preview is not None:
            self._preview.update(key, canvas, record.prompt or record.id)

    def check_count(self, count: int) -> None:
        """Raise UsageError where so many pictures would make one animation."""
        if self._animations is not None:
            self._animations.outputs.check_count(count)

    def finish(self, record: "Record", picture: "np.ndarray", name: str = "") -> list[str]:
        """Take in the whole picture of `record`; gives lines that say what was written of it only now.

        `name`: what the user calls it.

        What cannot be written is counted as a failure: the picture itself is written all the same.
        """
        key = find_key(record)
        with self._failures.item(shorten(record.prompt)):
            self._canvases.pop(key, None)
            if self._keeps:
                self._keep(key, record, picture)
                self._latest.pop(key)
                self._frameless.discard(key)
            if self._preview is not None:
                self._preview.finish(key)
            if self._animations is not None:
                return self._animations.write(record, key, name)
        return []

    def _keep(self, key: "Key", record: "Record", image: "np.ndarray") -> None:
        """Write and keep a state of a picture, unless it looks like the one before."""
        if key in self._latest and (self._latest[key] == image).all():
            return
        self._latest[key] = image
        if self._frames is not None and key not in self._frameless:
            self._frameless.add(key)
            with self._failures.item(shorten(record.prompt)):
                self._frames.add(record, key, image)
                self._frameless.discard(key)
        if self._animations is not None:
            self._animations.add(key, image)


def new_canvas(pipeline: "Pipeline", plan: "Plan") -> "Canvas":
    """Make an empty canvas for a picture that `pipeline` draws as planned."""
    from janus_cli.shell.watch.canvas import Canvas

    book, ours = pipeline.pictures.config, pipeline.model.config.generation
    assert book is not None, "a model that draws has an image tokenizer"
    scale, size = plan.picture.scale, None
    if plan.page is not None:
        scale, size = plan.page.scale, plan.page.pixels
    return Canvas(
        ours.grid, book.patch, ours.upsample if scale is None else scale, pipeline.pictures.decode, size
    )


def find_key(record: "Record") -> "Key":
    """Tell the pictures of a run apart: by the prompt's id, and the number that `generate` gave."""
    number = record.step("generate").get("index")
    return record.id, number if type(number) is int else 0


class Frames:
    """A folder of PNGs, NAME-0000.png and so on for each picture; NAME-1, NAME-2, ... where NAME is taken."""

    def __init__(self, folder: str, force: bool) -> None:
        """Raises UsageError for what is no folder; one that is not there is made with the first frame."""
        self._folder, self._force = Path(folder), force
        if not folder:
            raise UsageError("--frames: name a folder")
        if os.path.lexists(folder) and not self._folder.is_dir():
            raise UsageError(f"--frames {folder}: not a folder")
        self._names: dict[Key, str] = {}
        self._taken = FreeNames()
        self._counts: dict[Key, int] = {}

    def add(self, record: "Record", key: "Key", image: "np.ndarray") -> None:
        """Write the next frame of a picture. Raises MediaError."""
        from janus_cli.media.pictures import image_bytes

        if key not in self._names:
            self._names[key] = self._choose_name(slug(record.prompt) or slug(record.id) or "picture")
        number = self._counts[key] = self._counts.get(key, -1) + 1
        make_folder(self._folder)
        atomic_write(self._path(self._names[key], number), image_bytes(image, "png"), self._force)

    def _choose_name(self, name: str) -> str:
        """Choose `name`, or with a number behind it one of which no frame is there yet."""

        def is_free(path: Path) -> bool:
            return self._force or not os.path.lexists(self._path(path.name, 0))

        return self._taken.take(Path(name), is_free).name

    def _path(self, name: str, number: int) -> Path:
        return self._folder / f"{name}-{number:04d}.png"


class Animations:
    """All states of a picture as one file, once it is done; named as pictures are."""

    def __init__(self, template: str, existing: Existing) -> None:
        """Raises UsageError for a name that says no format, MediaError for one that exists."""
        if template == "-":
            raise UsageError(f"--animation -: name a file in {', '.join(ANIMATIONS)}")
        self.outputs = Outputs(template, existing, ANIMATIONS)
        self._states: dict[Key, States] = {}

    def add(self, key: "Key", image: "np.ndarray") -> None:
        """Keep the next frame of a picture."""
        self._states.setdefault(key, States()).add(image)

    def write(self, record: "Record", key: "Key", name: str) -> list[str]:
        """Write a picture's frames, unless they are there; gives a line that says so. Raises MediaError."""
        from janus_cli.media.pictures import animation_bytes

        frames = self._states.pop(key).unpack()
        if (path := self.outputs.choose(record, ANIMATIONS[0], name)) is None:
            return []
        writers = {suffix: partial(animation_bytes, frames, suffix[1:]) for suffix in ANIMATIONS}
        return [f"wrote {self.outputs.write(record, EncodedOutput('animation', writers), path)}"]


class States:
    """The states of a picture, without loss in little memory: what each one changes, packed."""

    def __init__(self) -> None:
        self._packed: list[bytes] = []
        self._last: np.ndarray | None = None

    def add(self, image: "np.ndarray") -> None:
        """Keep uint8 [H, W, 3], of the same size each time."""
        change = image if self._last is None else image - self._last  # modulo 256
        self._packed.append(zlib.compress(change.tobytes(), 1))
        self._last = image

    def unpack(self) -> "list[np.ndarray]":
        """Give every state, uint8 [H, W, 3], in order."""
        import numpy as np

        found: list[np.ndarray] = []
        for packed in self._packed:
            assert self._last is not None, "there is a state"
            change = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(self._last.shape)
            found.append(found[-1] + change if found else change)
        return found
