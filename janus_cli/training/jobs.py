"""`janus train`: a recipe's components, one after another, into a model folder."""

import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from janus_cli import weights
from janus_cli.config import COMPONENTS, format_config, read_config
from janus_cli.dataset.labels import make_judge_config, write_labels
from janus_cli.dataset.lexicon import write_lexicon
from janus_cli.dataset.pack import find_data_folder
from janus_cli.dataset.pictures import Track
from janus_cli.errors import UsageError
from janus_cli.media.files import atomic_write
from janus_cli.training.grow import grow
from janus_cli.training.loop import Run, Schedule, fit
from janus_cli.training.objectives.codec import CodecObjective
from janus_cli.training.objectives.drawing import DrawingObjective
from janus_cli.training.objectives.image_tokenizer import ImageTokenizerObjective
from janus_cli.training.objectives.joint import JointObjective, Materials
from janus_cli.training.objectives.judge import JudgeObjective
from janus_cli.training.objectives.refiner import RefinerObjective
from janus_cli.training.objectives.vision import VisionObjective
from janus_cli.training.optim import Optimizers, adamw, muon
from janus_cli.training.recipe import FitRecipe, Recipe, read_recipe
from janus_cli.training.workshop import Say, Workshop

if TYPE_CHECKING:
    from accelerate import PartialState

Report = Callable[[str, int, int, dict[str, float]], None]  # component, step, steps, metrics


@dataclass(frozen=True)
class TrainOptions:
    """Flags of `janus train`."""

    only: str | None = None  # a name of config.COMPONENTS; None = all in the recipe
    resume: bool = False
    warm: bool = False  # begin with the weights that the model folder has; a tokenizer keeps its codes
    out: Path | None = None  # model folder; None = the recipe's own
    data: Path = field(default_factory=find_data_folder)  # what is made once, for all recipes
    runs: Path = Path("runs")  # checkpoints and metrics
    device: str = "cpu"
    bf16: bool = False
    compile: bool = False
    save_every: float = 120.0  # seconds between checkpoints
    minutes: float = 0.0  # > 0: as many steps as fit into this time for each component, not the recipe's
    workers: int = 0  # processes that make batches beside the device


def _build_tokenizer(shop: Workshop, fit: FitRecipe) -> nn.Module:
    cfg = shop.config("dvae")
    return ImageTokenizerObjective(cfg, shop.sprites, shop.trained_drawings, fit.batch_size)


def _build_codec(shop: Workshop, fit: FitRecipe) -> nn.Module:
    cfg = shop.config("codec")
    return CodecObjective(cfg, shop.concepts, fit.batch_size, fit.plain)


def _build_vision(shop: Workshop, fit: FitRecipe) -> nn.Module:
    cfg = shop.config("vision")
    pictures = shop.corpus, shop.concepts, shop.sprites
    return VisionObjective(cfg, *pictures, shop.tokenizer, shop.dvae, fit.batch_size)


def _build_decoder(shop: Workshop, fit: FitRecipe) -> nn.Module:
    cfg = shop.config("decoder")
    if fit.mix:
        return JointObjective(cfg, gather_materials(shop, fit), fit)
    return DrawingObjective(cfg, shop.corpus, shop.concepts, shop.tokenizer, fit)


def gather_materials(shop: Workshop, fit: FitRecipe) -> Materials:
    """Collect what an any-to-any decoder is trained on; speech is synthesised where there is none yet."""
    return Materials(
        shop.corpus,
        shop.concepts,
        shop.sprites,
        shop.tokenizer,
        shop.vision,
        shop.utterances(False, fit.heard),
        shop.utterances(True, fit.said),
    )


def _build_refiner(shop: Workshop, fit: FitRecipe) -> nn.Module:
    cfg = shop.config("refiner")
    pictures = shop.sprites, shop.trained_drawings
    return RefinerObjective(cfg, shop.dvae, *pictures, fit.batch_size, fit.crop)


def _build_judge(shop: Workshop, fit: FitRecipe) -> nn.Module:
    cfg = make_judge_config(shop.concepts)
    return JudgeObjective(cfg, shop.concepts, shop.sprites, shop.dvae, fit.batch_size)


BUILDERS = {
    "dvae": _build_tokenizer,
    "codec": _build_codec,
    "vision": _build_vision,
    "decoder": _build_decoder,
    "refiner": _build_refiner,
    "judge": _build_judge,
}
TOKENIZERS = ("dvae", "codec")
GRAPHS = 64  # compiled graphs that the layers may share: one for each layer and shape of its rows
HIDDEN: dict[type, Callable[[Any], nn.Module]] = {  # the part of an objective whose matrices Muon trains
    CodecObjective: lambda objective: objective.codec,
    VisionObjective: lambda objective: objective.vision.blocks,
    DrawingObjective: lambda objective: objective.decoder.layers,
    JointObjective: lambda objective: objective.decoder.layers,
}


def _initialise(component: str, objective: nn.Module, shop: Workshop, warm: bool) -> None:
    """Give the weights of step 0: those in the model folder if `warm`, else the objective's own start."""
    if isinstance(objective, JointObjective):
        grown = warm and grow(objective.decoder, shop.model)
        if not warm or grown:
            objective.initialise(shop.codec, None if warm else shop.dvae.quantize.codebook.cpu())
    elif warm:
        net: nn.Module = getattr(objective, component)
        wanted = [p.requires_grad for p in net.parameters()]  # loading freezes them
        weights.load(net, choose_file(component, shop.model)).train()
        for parameter, grad in zip(net.parameters(), wanted, strict=True):
            parameter.data = parameter.data.clone()  # off the mapped file
            parameter.requires_grad_(grad)
    elif isinstance(objective, ImageTokenizerObjective):
        shop.render(objective.drawings.tolist())
        shop.say("fitting a codebook to the patches of pictures")
        objective.initialise(np.random.default_rng(shop.recipe.seed))
    elif isinstance(objective, CodecObjective):
        objective.initialise(np.random.default_rng(shop.recipe.seed))
    elif isinstance(objective, DrawingObjective):
        objective.initialise(shop.dvae.quantize.codebook.cpu())


def _make_optimizers(component: str, objective: nn.Module, recipe: FitRecipe) -> Optimizers:
    if not recipe.muon_lr:
        return adamw(objective, recipe.lr)
    if type(objective) not in HIDDEN:
        raise UsageError(f"[{component}] muon_lr: no part of this net is Muon's, leave it out")
    return muon(objective, HIDDEN[type(objective)](objective), recipe.muon_lr, recipe.lr, recipe.muon_decay)


def describe_length(fit: FitRecipe, options: TrainOptions) -> str:
    """Say how long a component is trained: steps, or minutes."""
    return f"{options.minutes:g} minutes" if options.minutes else f"{fit.steps} steps"


def _compile(objective: nn.Module) -> None:
    """Compile each decoder layer: fused elementwise work is a quarter of a CPU step."""
    torch._dynamo.config.recompile_limit = GRAPHS
    dynamic = isinstance(objective, JointObjective)  # its rows have any length
    for layer in objective.decoder.layers:  # type: ignore[union-attr]
        layer.forward = torch.compile(layer.forward, dynamic=dynamic)


def choose_file(component: str, model: Path) -> Path:
    """Choose where a component's weights go; the judge stands apart from the models that it judges."""
    folder = model.parent / "judge" if component == "judge" else model
    return folder / f"{component}.safetensors"


def _export(component: str, objective: nn.Module, shop: Workshop) -> None:
    """Write the component's weights as fp16 (a tokenizer as fp32: its codes must not move)."""
    module: nn.Module = getattr(objective, component)
    path = choose_file(component, shop.model)
    dtype = None if component in TOKENIZERS else torch.float16
    path.parent.mkdir(exist_ok=True)
    weights.save(module, path, dtype)
    if component == "judge":
        write_labels(path.parent, shop.concepts)
        return
    if component == "decoder" and any(concept.words for concept in shop.concepts):
        write_lexicon(shop.model, shop.concepts)
    config = shop.model / "config.json"
    before = read_config(config) if config.exists() else shop.recipe.model
    new = {component, "vision"} if isinstance(objective, JointObjective) else {component}
    present = {c: getattr(shop.recipe.model if c in new else before, c) for c in COMPONENTS if c != "judge"}
    present = {c: cfg if (shop.model / f"{c}.safetensors").exists() else None for c, cfg in present.items()}
    made = dataclasses.replace(shop.recipe.model, **present)
    atomic_write(config, format_config(made).encode(), force=True)


def plan_components(recipe: Recipe, only: str | None) -> list[str]:
    """List the components to train, in order. Raises UsageError for one that the recipe lacks."""
    known = [c for c in BUILDERS if getattr(recipe, c) is not None]
    if only is not None and only not in known:
        raise UsageError(f"--only {only}: the recipe trains {', '.join(known)}")
    return [only] if only else known


def train(
    recipe_path: Path,
    options: TrainOptions,
    report: Report,
    track: Track,
    say: Say = lambda text: None,
) -> Path:
    """Train what the recipe asks for; returns the model folder.

    `report(component, step, steps, metrics)` is called now and then, `track` wraps long loops, `say` takes a
    line about each other part that takes long.
    Raises JanusError for a wrong recipe, missing materials or a foreign checkpoint.
    """
    recipe = read_recipe(recipe_path)
    shop = Workshop(recipe, options.data, options.out or recipe_path.parent, options.device, track, say)
    processes = _find_processes(options.device)
    if processes and options.minutes:
        raise UsageError("--minutes: several processes would end at different steps, leave it out")
    run = Run(
        options.runs / recipe.model.name,
        recipe.seed,
        options.device,
        options.bf16,
        options.save_every,
        workers=options.workers,
    )
    for component in plan_components(recipe, options.only):
        fit_recipe: FitRecipe = getattr(recipe, component)
        say(f"{component}: {describe_length(fit_recipe, options)}")
        torch.manual_seed(recipe.seed)
        with processes.main_process_first() if processes else nullcontext():  # the others find its files
            objective = BUILDERS[component](shop, fit_recipe)
            if not (options.resume and run.checkpoint(component).exists()):
                _initialise(component, objective, shop, options.warm)
        if options.compile and component == "decoder":
            _compile(objective)
        schedule = Schedule(fit_recipe.steps, fit_recipe.warmup, fit_recipe.constant, options.minutes)
        optimizers = _make_optimizers(component, objective.to(options.device), fit_recipe)
        tell = partial(report, component)
        with _no_denormals():
            fit(component, objective, optimizers, schedule, run, options.resume, tell)
        if processes is None or processes.is_main_process:
            _export(component, objective.eval(), shop)
        if processes:
            processes.wait_for_everyone()
    if processes:
        processes.destroy_process_group()  # its threads, left to the end of the process, may abort it
    return shop.model


@contextmanager
def _no_denormals() -> Iterator[None]:
    """Take the smallest numbers for zero: silence fills gradients with them, and a CPU is slow on them."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _find_processes(device: str) -> "PartialState | None":
    """Find the processes of an `accelerate launch`; None where this one is alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    from accelerate import PartialState

    return PartialState(cpu=device == "cpu")
