"""How fast one GPU draws, after a look at whether it draws the same: `python -m bench.gpu`.

    python -m bench.gpu [--device cuda] [--shape 1b 7b] [--minutes 3.5] [--out FILE.json]

Correctness comes first: `pocket` draws the CPU's tokens, a step gives the general forward's logits. Then
Janus-Pro's shapes with random weights, made on the device: milliseconds a token and the share of the
bandwidth that a copy reaches on the same device; decoding to pixels; transformers. Each line is printed as it
comes; a part that fails or has no time left costs none of the others. `--device cpu --shape tiny` tries it.
"""

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import make_checkpoint
from bench.peers import stand_in
from janus_cli import config
from janus_cli.nets import step as step_file
from janus_cli.nets.decoder import Decoder
from janus_cli.nets.janus_pro import IMAGE, TEXT, JanusPro
from janus_cli.nets.step import Step, fold
from janus_cli.records import Record
from janus_cli.stages.decoding import loop as loop_file
from janus_cli.stages.decoding.features import Net
from janus_cli.stages.decoding.loop import Item, Loop
from janus_cli.stages.decoding.options import GenerateOptions
from janus_cli.stages.decoding.prompt import Prompt
from janus_cli.stages.decoding.steps import Stepper
from janus_cli.weights.modules import build_hollow
from janus_cli.zoo import janus_pro

PROMPTS = ("a red apple", "penguin, noto", "rocket, twemoji", "two cats")
PROMPT_TOKENS = 20  # of the random shapes
PEER_SECONDS = 40  # of which transformers' import is a good part


class Report:
    """What was found, printed as it comes and written to a file at any time; and how much time is left."""

    def __init__(self, device: str, minutes: float, out: Path | None) -> None:
        self.device, self.out = torch.device(device), out
        self.dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        self.start, self.end = time.monotonic(), time.monotonic() + 60 * minutes
        self.found: dict[str, Any] = {}

    @property
    def left(self) -> float:
        """Seconds left."""
        return self.end - time.monotonic()

    def say(self, name: str, **found: Any) -> None:
        """Print and keep what was found."""
        self.found[name] = found
        facts = ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in found.items())
        print(f"[{time.monotonic() - self.start:6.1f}] {name}: {facts}", flush=True)
        if self.out is not None:
            self.out.write_text(json.dumps(self.found, indent=1) + "\n", "utf-8")

    def wait(self) -> None:
        """Wait until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def clock(self, action: Callable[[], object]) -> float:
        """Seconds of one call, with all that it leaves to the device."""
        self.wait()
        start = time.perf_counter()
        action()
        self.wait()
        return time.perf_counter() - start

    def attempt(self, name: str, seconds: float, action: Callable[[], object]) -> None:
        """Do `action` if `seconds` are left for it; its failure is noted and ends nothing else."""
        if self.left < seconds:
            self.say(f"{name} left out", seconds_left=self.left)
            return
        try:
            action()
        except Exception as error:
            traceback.print_exc()
            self.say(f"{name} failed", why=f"{type(error).__name__}: {error}"[:300])
        gc.collect()  # a net and what is folded of it know each other
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


# ---- nets and prompts


def read_config(shape: str) -> config.JanusProConfig:
    """Read the configuration of a published checkpoint of `shape`."""
    sizes = make_checkpoint.SHAPES[shape]
    with tempfile.TemporaryDirectory() as folder:
        written = make_checkpoint.original_config(sizes, sizes.vocab_size or 400, "bfloat16")
        (Path(folder) / "config.json").write_text(json.dumps(written))
        found = janus_pro.read(Path(folder))
    assert isinstance(found, config.PublishedConfig)
    return found.janus_pro


def make_janus_pro(shape: str, device: torch.device | str, dtype: torch.dtype, layers: int = 0) -> JanusPro:
    """Make a net of `shape` with random weights on `device`, as `make_checkpoint` scales them.

    layers: of the decoder, where not all of them.
    """
    cfg = read_config(shape)
    if layers:
        cfg = replace(cfg, decoder=replace(cfg.decoder, n_layer=layers))
    net = build_hollow(lambda: JanusPro(cfg), shape)
    buffers = dict(net.language_model.named_buffers(recurse=False))  # the rotations are real
    net = net.to(dtype).to_empty(device=device)
    for name, buffer in buffers.items():
        setattr(net.language_model, name, buffer.to(device))
    torch.manual_seed(0)
    for name, weight in net.named_parameters():
        weight.requires_grad_(False).normal_()
        if weight.dim() == 1:
            weight.mul_(0.02) if name.endswith("bias") else weight.mul_(0.1).add_(1)
        elif not name.endswith(("embed_tokens.weight", "gen_embed.weight", "embedding.weight")):
            weight.mul_(float(np.prod(weight.shape[1:])) ** -0.5)
    return net.eval()


def make_items(count: int) -> list[Item]:
    """Make prompts as Janus-Pro takes them, with guidance, and a seed for each."""
    tokens = np.zeros((4, PROMPT_TOKENS), np.int64)
    tokens[0] = np.arange(1, PROMPT_TOKENS + 1)
    blank = tokens.copy()
    blank[0, 1:-1] = 2
    prompt = Prompt(Record(()), tokens, blank)
    return [Item(prompt, i, i) for i in range(count)]


# ---- correctness


def compare_small(report: Report, shape: str) -> None:
    """Draw with few layers by steps and by the general forward, in fp32 and bf16."""
    for dtype in (torch.float32, torch.bfloat16):
        nets = {
            "every switch": partial(make_full, report.device, dtype),
            f"{shape} of 2 layers": partial(make_janus_pro, shape, report.device, dtype, 2),
        }
        for name, make in nets.items():
            what = f"steps, {name}, {str(dtype).rsplit('.', 1)[-1]}"
            report.attempt(what, 10, partial(compare_net, report, what, make))


def compare_net(report: Report, what: str, make: Callable[[], Net]) -> None:
    """Draw with one net by steps and by the general forward, and compare their logits on the same tokens."""
    net = make()
    apart, agreed = compare_logits(net)
    report.say(what, logits_apart=apart, likeliest_equal=agreed)
    options = GenerateOptions(grid=(6, 6), cfg_scale=3.0, temperature=1.0)
    fast, slow = (draw_codes(net, options, 3, steps=on) for on in (True, False))
    report.say(f"{what}, drawn", tokens_equal=float((fast == slow).mean()))


def make_full(device: torch.device, dtype: torch.dtype) -> Decoder:
    """Make a small decoder with every switch, in which nothing is left at its zero start."""
    modalities = {"text": config.ModalityConfig(400), "image": config.ModalityConfig(512, two_d=True)}
    switches: dict[str, Any] = {"mixin": config.MixinConfig(), "relative": config.RelativeConfig()}
    torch.manual_seed(0)
    cfg = config.DecoderConfig(dim=128, n_layer=4, ff_dim=256, modalities=modalities, **switches)
    net = Decoder(cfg).eval().requires_grad_(False)
    for weight in net.parameters():
        weight += 0.2 * torch.randn_like(weight)
    return net.to(device, dtype)


@contextmanager
def by_steps(on: bool) -> Iterator[None]:
    """Have loops draw one token at a time: by steps, or by the general forward."""
    before = loop_file.can_step, loop_file.choose_width
    loop_file.choose_width = lambda *_: 0
    if not on:
        loop_file.can_step = lambda *_: False
    try:
        yield
    finally:
        loop_file.can_step, loop_file.choose_width = before


def draw_codes(net: Net, options: GenerateOptions, count: int, steps: bool = True) -> np.ndarray:
    """Draw the codes of `count` pictures, [B, T]."""
    with by_steps(steps):
        return list(Loop(make_items(count), net, options).run())[-1].codes[:, 0]


@torch.inference_mode()
def compare_logits(net: Net) -> tuple[float, float]:
    """Compare steps with the general forward, on the same tokens.

    Gives the largest difference of logits, as a share of their spread, and how often the likeliest agree.
    """
    device, length, worst, agreed = net.device, 24, 0.0, 0.0
    folded = fold(net, "image")
    step = Step(folded, 2, 64, length)
    ids = torch.arange(1, 9, device=device).expand(2, -1)
    types, nowhere = torch.full_like(ids, TEXT), torch.zeros_like(ids)
    cache = net.make_cache(2, 8 + length)
    net(ids, types, nowhere, nowhere, cache=cache)
    step.begin(cache, 6)
    step.filled = None
    for place in range(length):
        token = torch.full((2, 1), 7 * place % 50, device=device)
        row, col = (torch.full_like(token, each) for each in divmod(place, 6))
        hidden = net(token, torch.full_like(token, IMAGE), row, col, cache=cache)
        expected = net.compute_logits(hidden[:, -1], "image").float()
        got = step.advance(token[:, 0]).float()
        worst = max(worst, float((got - expected).abs().max() / expected.std()))
        agreed += float((got.argmax(-1) == expected.argmax(-1)).float().mean()) / length
    return worst, agreed


def compare_pocket(report: Report) -> None:
    """Draw four pictures on the CPU and on the device."""
    drawn = [draw_pocket(report, device) for device in ("cpu", str(report.device))]
    alike = [float((a == b).mean()) for a, b in zip(*drawn, strict=True)]
    report.say("pocket, device against cpu", tokens_equal=alike)


def draw_pocket(report: Report, device: str) -> list[np.ndarray]:
    """Draw with `pocket` on `device`, timed: the tokens of every prompt."""
    from janus_cli.pipeline import Sampling, load

    pipeline = load("pocket", device=device)
    plan = pipeline.plan_picture(Sampling(seed=7, batch_size=4))
    prompts = [pipeline.tokenize(text) for text in PROMPTS]
    records: list[Record] = []
    first = report.clock(lambda: records.extend(plan.run(prompts)))
    if device == "cpu":  # which is here to compare with
        report.say("pocket on cpu, tokens", four_first=first)
        return [record.segments[-1].data for record in records]
    again = report.clock(lambda: list(plan.run(prompts)))
    single = min(report.clock(lambda: list(plan.run(prompts[:1]))) for _ in range(2))
    with by_steps(True):
        report.clock(lambda: list(plan.run(prompts[:1])))  # captures
        steps = min(report.clock(lambda: list(plan.run(prompts[:1]))) for _ in range(2))
    found = {"four_first": first, "four_again": again, "one": single, "one_by_steps": steps}
    report.say(f"pocket on {device}, tokens", **found)
    whole = min(report.clock(lambda: pipeline.draw_picture(PROMPTS[0])) for _ in range(2))
    report.say(f"pocket on {device}, one picture to pixels", seconds=whole)
    return [record.segments[-1].data for record in records]


# ---- speed


def measure_bandwidth(report: Report) -> float:
    """Measure what a copy moves, bytes a second, read and written."""
    size = 1 << (30 if report.device.type == "cuda" else 24)
    source = torch.randint(0, 100, (size,), dtype=torch.uint8, device=report.device)
    target = torch.empty_like(source)
    target.copy_(source)
    best = min(report.clock(lambda: [target.copy_(source) for _ in range(10)]) for _ in range(3)) / 10
    report.say("copy", bytes_per_second=2 * size / best)
    return 2 * size / best


def count_bytes(net: JanusPro, rows: int) -> int:
    """Count the bytes that a step must read: weights, and keys and values of half a picture on average."""
    stack = net.language_model
    weights = [p for layer in stack.layers for p in layer.parameters()] + [*net.gen_head.parameters()]
    cfg, slots = net.cfg, PROMPT_TOKENS + net.janus_pro.grid[0] ** 2 // 2
    kept = 2 * cfg.n_layer * cfg.n_kv_head * cfg.head_dim * slots * rows
    return sum(p.nbytes for p in weights) + kept * stack.norm.weight.element_size()


def measure_draw(report: Report, net: JanusPro, count: int, name: str) -> None:
    """Time `count` pictures at a time: the loop first and again, then the captured steps alone."""
    side = net.janus_pro.grid
    options = GenerateOptions(grid=side, cfg_scale=5.0, temperature=1.0)
    if report.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()

    def draw() -> None:
        loop = Loop(make_items(count), net, options)
        codes = list(loop.run())[-1].codes
        assert codes.shape == (count, 1, options.length)

    first, again = report.clock(draw), report.clock(draw)
    found: dict[str, Any] = {"first": first, "again": again, "ms_per_token": again / options.length * 1000}
    if report.device.type == "cuda":
        net.__dict__.pop("captured", None)
        found["captured_again"] = report.clock(draw)
        found["peak_GB"] = torch.cuda.max_memory_allocated() / 1e9
        found |= measure_replays(report, net, count)
    report.say(name, **found)


def measure_replays(report: Report, net: JanusPro, count: int) -> dict[str, Any]:
    """Time the captured step by itself, and list the kernels that take its time."""
    steps: Stepper = net.__dict__["captured"][1]
    assert steps.graph is not None
    times = []
    for start in (0, 250, 500):  # the places of the first tokens, of which 50 are drawn
        steps.step.place.fill_(start % steps.step.length)
        steps.step.slot.fill_(PROMPT_TOKENS + start % steps.step.length)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in "12")
        begin.record()
        for _ in range(50):
            steps.graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 50)
    best = statistics.median(times)
    rate = count_bytes(net, 2 * count) / best * 1000
    return {"step_ms": best, "share_of_copy": rate / report.found["copy"]["bytes_per_second"]}


def list_kernels(report: Report, net: JanusPro, name: str) -> None:
    """Say which kernels one replay runs, how often, and their microseconds."""
    from torch.profiler import ProfilerActivity, profile

    steps: Stepper = net.__dict__["captured"][1]
    assert steps.graph is not None
    steps.step.place.zero_()
    steps.step.slot.fill_(PROMPT_TOKENS)
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        steps.graph.replay()
        report.wait()
    rows = [e for e in profiled.key_averages() if e.self_device_time_total]
    rows.sort(key=lambda e: -e.self_device_time_total)
    total, kernels = sum(e.self_device_time_total for e in rows), sum(e.count for e in rows)
    report.say(f"{name}, kernels of a step", kernels=kernels, busy_ms=total / 1000)
    for e in rows[:14]:
        print(f"{e.self_device_time_total:9.0f} us {e.count:5d} x {e.key[:110]}", flush=True)


@contextmanager
def layers_by(net: Net, way: str) -> Iterator[None]:
    """Have layers run as they are, "plain", or "compiled" by torch, once for all."""
    plain, growing = step_file.run_layer, net.device.type == "cpu"
    net.__dict__.pop("captured", None)
    if way == "compiled":
        step_file.run_layer = torch.compile(plain, dynamic=growing, fullgraph=True)
    try:
        yield
    finally:
        step_file.run_layer = plain
        net.__dict__.pop("captured", None)


def measure_general(report: Report, net: JanusPro, name: str) -> None:
    """Time the general forward for a few tokens: what stood before."""
    options = GenerateOptions(grid=(2, 8), cfg_scale=5.0, temperature=1.0)
    draw_codes(net, options, 1, steps=False)
    seconds = report.clock(lambda: draw_codes(net, options, 1, steps=False))
    report.say(f"{name}, general forward, 16 tokens", ms_per_token=seconds / 16 * 1000)


def measure_pixels(report: Report, net: JanusPro, name: str) -> None:
    """Time the decoding of one picture, and how far bf16 in channels-last is from fp32."""
    side = net.janus_pro.grid
    codes = torch.randint(net.janus_pro.vq.codebook_size, (1, *side), device=report.device)
    vq, before = net.gen_vision_model, net.gen_vision_model.quant_conv.weight.dtype
    with torch.inference_mode():
        exact = vq.float().decode(codes)
        for dtype, order in (
            (torch.float32, torch.contiguous_format),
            (torch.bfloat16, torch.contiguous_format),
            (torch.bfloat16, torch.channels_last),
        ):
            vq.to(dtype=dtype).to(memory_format=order)
            first = report.clock(lambda: vq.decode_picture(codes))
            again = min(report.clock(lambda: vq.decode_picture(codes)) for _ in range(3))
            apart = float((vq.decode(codes).float() - exact).abs().mean() * 127.5)
            what = f"{name}, VQ decode, {dtype}, {order}".replace("torch.", "")
            report.say(what, first=first, again=again, levels_apart=apart)
    vq.to(before)


def measure_shape(report: Report, shape: str, whole: bool) -> None:
    """Measure all about one shape; `whole`: batches, pixels and the general forward too."""
    start = time.monotonic()
    net = make_janus_pro(shape, report.device, report.dtype)
    report.wait()
    size = sum(p.nbytes for p in net.parameters()) / 1e9
    report.say(f"{shape}, weights made", seconds=time.monotonic() - start, GB=size)
    measure_way(report, net, shape, "plain", counts=(1, 16) if whole else (1,))
    if not whole:
        return
    report.attempt(f"{shape}, VQ decode", 10, partial(measure_pixels, report, net, shape))
    report.attempt(f"{shape}, general forward", 10, partial(measure_general, report, net, shape))


def measure_way(report: Report, net: JanusPro, shape: str, way: str, counts: tuple[int, ...]) -> None:
    """Time so many pictures at a time by one program of the layers, and list its kernels."""
    for count in counts:
        name = f"{shape}, {way}, {count} pictures" if count > 1 else f"{shape}, {way}, one picture"
        with layers_by(net, way):
            report.attempt(name, 12, partial(measure_draw, report, net, count, name))
            if "captured" in net.__dict__:
                report.attempt(f"{name}, kernels", 5, partial(list_kernels, report, net, name))


def measure_compiled(report: Report, shape: str) -> None:
    """Time layers that torch compiles: the longest to wait for."""
    net = make_janus_pro(shape, report.device, report.dtype)
    measure_way(report, net, shape, "compiled", counts=(1,))


# ---- transformers


def measure_peer(report: Report, shape: str) -> None:
    """Time transformers' Janus in a process of its own, which a limit of time ends."""
    command = [sys.executable, "-m", "bench.gpu", "--peer", shape, "--device", str(report.device)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=min(report.left, PEER_SECONDS))
    if done.returncode:
        print(done.stderr[-4000:], flush=True)  # its last line alone rarely says what is missing
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    report.say(f"transformers, {shape}, 24 tokens", **json.loads(done.stdout.splitlines()[-1]))


def draw_by_peer(shape: str, device: str) -> None:
    """Draw a small picture with transformers and print its figures as JSON."""
    sys.modules.update(stand_in())
    import transformers
    from transformers import JanusConfig, JanusForConditionalGeneration

    sizes = make_checkpoint.SHAPES[shape]
    words = make_checkpoint.transformers_config(sizes, sizes.vocab_size or 400, "bfloat16")
    kept = ("text_config", "vision_config", "vq_config", "image_token_id")
    torch.set_default_dtype(torch.bfloat16 if device != "cpu" else torch.float32)
    with torch.device(device):
        net = JanusForConditionalGeneration(JanusConfig(**{k: words[k] for k in kept})).eval()
    torch.set_default_dtype(torch.float32)
    inner, limit = net._prepare_static_cache, 24  # 5.17's own call leaves an argument out
    net._prepare_static_cache = lambda **given: inner(**({"prefill_chunk_size": None} | given))
    net.model.vision_model.config.num_image_tokens = limit  # which is how many it draws
    net.generation_config.guidance_scale, net.generation_config.generation_kwargs = 5, {"boi_token_id": 6}
    net.generation_config.bos_token_id, net.generation_config.eos_token_id = 0, 1
    net.generation_config.pad_token_id = 2
    ids = torch.arange(1, PROMPT_TOKENS + 1, device=device)[None]
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        made = net.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_mode="image", do_sample=True
        )
        made.sum().item()
        seconds.append(time.perf_counter() - start)
    count = made.shape[-1]
    print(
        json.dumps(
            {"version": transformers.__version__, "tokens": count, "ms_per_token": seconds[-1] / count * 1000}
        )
    )


def main() -> None:
    """Read the command line, then measure."""
    parser = argparse.ArgumentParser(description="Correctness and speed on one GPU.")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shape", nargs="+", choices=make_checkpoint.SHAPES, default=["1b", "7b"])
    parser.add_argument("--minutes", type=float, default=3.5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--peer", choices=make_checkpoint.SHAPES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peer:
        draw_by_peer(given.peer, given.device)
        return
    report = Report(given.device, given.minutes, given.out)
    name = torch.cuda.get_device_name() if report.device.type == "cuda" else "cpu"
    report.say("machine", torch=torch.__version__, device=name, processors=os.cpu_count())
    report.attempt("copy", 5, partial(measure_bandwidth, report))
    compare_small(report, given.shape[0])
    for i, shape in enumerate(given.shape):
        report.attempt(shape, 15, partial(measure_shape, report, shape, whole=not i))
    report.attempt("pocket", 20, partial(compare_pocket, report))
    report.attempt("transformers", 15, partial(measure_peer, report, given.shape[0]))
    report.attempt("compiled", 40, partial(measure_compiled, report, given.shape[0]))


if __name__ == "__main__":
    main()
