"""The texts in a picture's or sound's file that say how it was made."""

import hashlib
import json
from typing import TYPE_CHECKING, Any

from janus_cli import __version__

if TYPE_CHECKING:
    from janus_cli.records import Record


def collect_parameters(record: "Record") -> dict[str, str]:
    """Collect what made a picture or sound, as texts for its file: prompt, model, seed, options, tokens.

    Which of its prompt's results it was is left out: the same seed makes the same file. `tokens` is the
    sha256 of the image ids, else the audio ids, in C order, little-endian, as on the wire.
    """
    made = record.step("generate")
    segment = record.find("image") or record.find("audio")
    steps = [{word: value for word, value in step.items() if word != "index"} for step in record.made_by]
    known: dict[str, Any] = {"made_by": steps, "version": __version__}
    known |= {word: made[word] for word in ("model", "seed") if word in made}
    if segment is not None:
        ids = segment.data.astype(segment.data.dtype.newbyteorder("<"))
        known["tokens"] = hashlib.sha256(ids.tobytes()).hexdigest()
    texts = {"Software": "janus-cli", "janus": json.dumps(known, sort_keys=True, ensure_ascii=False)}
    return {"prompt": record.prompt, **texts} if record.prompt else texts
