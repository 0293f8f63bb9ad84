"""Typer declarations of the arguments and options that several commands share."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from janus_cli.config import check_scale
from janus_cli.errors import UsageError
from janus_cli.pipeline.options import Size as ChosenSize
from janus_cli.shell.devices import Device, Dtype

DAY = 86_400  # seconds
MAX_SEED = 1 << 62

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE|DIR|-",
        help="Token files, folders or .tar shards; standard input if none or -.",
        show_default=False,
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        show_default=False,
        help="out.safetensors, a folder/ (one file a record) or shard-%06d.tar; standard output if none "
        "or -.",
    ),
]


def template(suffixes: str) -> Any:
    """Declare -o of a command that makes files with these suffixes."""
    fields = "with {prompt} {seed} {index} {id} {source} {name}, a folder/, or - for standard output."
    return typer.Option("--output", "-o", metavar="TEMPLATE", help=f"A name in {suffixes}, {fields}")


Force = Annotated[bool, typer.Option("--force", "-f", help="Replace files that exist.")]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Pass over what would go into a file that exists.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing on stderr but errors.")]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|DIR",
        show_default=False,
        help="Model to use; otherwise the one that the record names.",
    ),
]
NewModelName = Annotated[str, typer.Option("--model", "-m", metavar="NAME|DIR", help="Model to use.")]
DeviceChoice = Annotated[Device, typer.Option("--device", "-d", help="Where to compute.")]
DtypeChoice = Annotated[Dtype, typer.Option("--dtype", help="What a Janus-Pro model computes in.")]
DataFolder = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        show_default="$JANUS_DATA, ./.data if it has a pack, or the user's cache",
        help="Folder of the data pack and what is made of it.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON, one object a line.")]

STDIN_HELP = (
    "Read more {} from standard input, one a line: as it is, name<TAB>text, or JSON with prompt, name, seed, "
    "n (and size). Empty lines and # lines are passed over."
)
Literal = Annotated[
    bool, typer.Option("--literal", help="Take the words as they are: use no lexicon of the model's.")
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        "-s",
        min=0,
        max=MAX_SEED,
        help="The same seed gives the same result; the k-th of -n has seed + k.",
    ),
]
Number = Annotated[int, typer.Option("-n", "--number", min=1, metavar="N", help="How many for each prompt.")]
BestOf = Annotated[
    int,
    typer.Option(
        "--best-of",
        min=1,
        metavar="N",
        help="Draw N seeds for each picture and keep the one that shows the prompt best, as the model's eyes "
        "see it (pocket has pocket-any's): the k-th of -n is chosen among seed + k N to seed + k N + N - 1, "
        "and {seed} in its name is the first of them.",
    ),
]
BatchSize = Annotated[
    int,
    typer.Option(
        "--batch-size",
        min=1,
        help="How many are generated together: changes the speed; in fp32 no result, in bf16 rounding may "
        "change tokens.",
    ),
]


def parse_parallel(text: str) -> int | None:
    """Read how many tokens are guessed ahead: off is 0, auto None. Raises UsageError."""
    word = text.strip().lower()
    if word in ("off", "auto"):
        return 0 if word == "off" else None
    if not (re.fullmatch(r"\d{1,9}", word, re.ASCII) and int(word)):
        raise UsageError(f"--parallel {text}: give off, auto or a number of tokens, such as 40")
    return int(word)


Parallel = Annotated[
    int | None,
    typer.Option(
        "--parallel",
        metavar="off|auto|N",
        show_default="auto",
        parser=parse_parallel,
        help="Guess N tokens of a picture ahead and check them in one pass: in fp32 the same picture in "
        "fewer passes. auto: on a CPU as many as suit the batch, where the model is nearly sure.",
    ),
]
CfgScale = Annotated[
    float | None,
    typer.Option(
        "--cfg-scale",
        min=0.0,
        show_default="the model's",
        help="Weight of the prompt in a picture (classifier-free guidance); 1 = none.",
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        "--temperature", min=0.0, show_default="the model's", help="0 = always the likeliest token."
    ),
]
WordTemperature = Annotated[
    float, typer.Option("--temperature", min=0.0, help="0 = the likeliest words, not drawn ones.")
]
TopK = Annotated[
    int | None,
    typer.Option(
        "--top-k", min=0, show_default="the model's", help="Draw among the K likeliest tokens; 0 = all."
    ),
]
TopP = Annotated[
    float | None,
    typer.Option(
        "--top-p",
        min=0.0,
        max=1.0,
        show_default="the model's",
        help="Draw among the likeliest tokens that hold this share of the probability.",
    ),
]


def max_tokens(default: str, help: str = "At most, of a text.") -> Any:
    """Declare --max-tokens of a command that writes texts."""
    return typer.Option("--max-tokens", min=1, metavar="N", show_default=default, help=help)


Beams = Annotated[
    int | None,
    typer.Option(
        "--beams",
        min=1,
        metavar="N",
        show_default="4; 1 where words are drawn, or of a Janus-Pro model",
        help="Of texts, and of prompts put into words: how many tries at the likeliest words are kept (beam "
        "search); 1 = always the next likeliest.",
    ),
]


def _check_seconds(seconds: float | None) -> float | None:
    if seconds is not None and not 0 < seconds <= DAY:
        raise UsageError(f"--seconds {seconds:g}: give more than 0, and a day at most")
    return seconds


Seconds = Annotated[
    float | None,
    typer.Option(
        "--seconds", metavar="S", show_default="10", callback=_check_seconds, help="At most, of a sound."
    ),
]
Steps = Annotated[
    int | None, typer.Option("--steps", min=0, show_default="the model's", help="Denoising steps.")
]
Noise = Annotated[
    float,
    typer.Option(
        "--noise",
        min=0.0,
        max=1.0,
        metavar="SHARE",
        help="Start from that share of the training's noise: it leaves some grain, by --seed.",
    ),
]

Stream = Annotated[
    bool,
    typer.Option(
        "--stream",
        help="Pass each picture on in parts, row by row, while the rest is still being made; the "
        "last part is the whole picture, the same as without.",
    ),
]


def check_known_scale(scale: int | None) -> int | None:
    """Return `scale` itself. Raises UsageError for one that no model of ours has."""
    return scale if scale is None else check_scale(scale)


Scale = Annotated[
    int | None,
    typer.Option(
        "--scale",
        show_default="what --size asked for, else the model's",
        callback=check_known_scale,
        help="Enlargement: 1, 2 or 4.",
    ),
]


def parse_size(text: str) -> ChosenSize:
    """Read pixels, such as 512 or 512x256. Raises UsageError."""
    if not (found := re.fullmatch(r"(\d{1,99})(?:x(\d{1,99}))?", text.strip(), re.ASCII | re.IGNORECASE)):
        raise UsageError(f"--size {text}: give pixels, such as 512, or width x height, such as 512x256")
    return ChosenSize(int(found[1]), int(found[2] or found[1]))


Size = Annotated[
    ChosenSize | None,
    typer.Option(
        "--size",
        metavar="PX|WxH",
        show_default=False,
        parser=parse_size,
        help="Pixels of the final picture, square or width x height, multiples of 8 up to 1024. What is "
        "drawn stays the model's own grid of tokens: a larger page has no sharper edges and no more "
        "detail, a longer one more background.",
    ),
]

Preview = Annotated[
    bool,
    typer.Option(
        "--preview",
        help="Paint pictures in the terminal while they are made, from the top down, blurred first. "
        "Janus-Pro has no denoiser: there a row clears up as its neighbours come. "
        "JANUS_PREVIEW=kitty, iterm2, sixel or blocks says how.",
    ),
]
Frames = Annotated[
    str | None,
    typer.Option(
        "--frames",
        metavar="DIR",
        show_default=False,
        help="Write each state of a picture there: NAME-0000.png and so on.",
    ),
]
Animation = Annotated[
    str | None,
    typer.Option(
        "--animation",
        metavar="TEMPLATE",
        show_default=False,
        help="Write all states of a picture as one file: a name in .webp .gif .apng, with fields as in -o.",
    ),
]
