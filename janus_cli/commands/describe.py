"""`janus describe`: pictures and a question in, words out."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from janus_cli.choices import check_writes
from janus_cli.commands import options as opt
from janus_cli.commands.console import Device, Dtype, Talk
from janus_cli.commands.loading import Loader
from janus_cli.commands.streams import expand, stdin_bytes
from janus_cli.commands.tokenize import PICTURES
from janus_cli.errors import UsageError


def describe(
    images: Annotated[list[str], typer.Argument(
        metavar="IMAGE|-", show_default=False,
        help="Pictures that the question is about, all of them at once; - for standard input.")],
    model: Annotated[str, typer.Option("--model", "-m", metavar="NAME|DIR", show_default=False,
                                       help="A Janus-Pro model.")],
    prompt: Annotated[str, typer.Option("--prompt", "-p", metavar="TEXT", help="The question.")]
    = "Describe this picture.",
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, metavar="N", help="At most.")] = 512,
    temperature: Annotated[float, typer.Option(
        "--temperature", min=0.0, help="0 = always the likeliest word.")] = 0.0,
    top_p: Annotated[float, typer.Option(
        "--top-p", min=0.0, max=1.0,
        help="Draw among the likeliest tokens that hold this share of the probability.")] = 1.0,
    seed: Annotated[int, typer.Option("--seed", "-s", min=0, help="Same seed, same answer.")] = 0,
    device: opt.DeviceChoice = Device.auto,
    dtype: opt.DtypeChoice = Dtype.auto,
    quiet: opt.Quiet = False,
) -> None:
    """Ask about pictures.

    janus describe cat.png --model deepseek-ai/Janus-Pro-1B --prompt "what is it?"
    """
    from janus_cli.media import read_image
    if not prompt.strip():
        raise UsageError("an empty prompt: ask something, or leave --prompt away")
    from janus_cli.stages.generate import GenerateOptions

    options = GenerateOptions("text", seed=seed, temperature=temperature, top_p=top_p, max_tokens=max_tokens)
    pipeline = Loader(model, device, Talk(quiet), dtype).named()
    check_writes(pipeline.model)
    pictures = [read_image(stdin_bytes("name a picture, or pipe one in") if name == "-" else Path(name),
                           "stdin" if name == "-" else name) for name in expand(images, PICTURES)]
    for piece in pipeline.describe(pictures, prompt, options):
        sys.stdout.write(piece)
        sys.stdout.flush()
    print(flush=True)
