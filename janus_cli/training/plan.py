"""What a training would do, in lines: nothing is written, fetched or computed for them."""

from pathlib import Path

from janus_cli.dataset.pack import PACK, read_pack
from janus_cli.dataset.pictures import list_drawings
from janus_cli.training.jobs import TrainOptions, choose_file, describe_length, plan_components
from janus_cli.training.loop import Run, read_step
from janus_cli.training.recipe import FitRecipe, Recipe, read_recipe

# Component -> those whose trained weights it needs; an any-to-any decoder also needs eyes and a codec.
NEEDS = {"vision": ("dvae",), "decoder": ("dvae",), "refiner": ("dvae",), "judge": ("dvae",)}
SENSES = ("vision", "codec")


def plan_training(recipe_path: Path, options: TrainOptions) -> list[str]:
    """Say what `train` would do: its parts and steps, the data, what is there, where results go.

    Raises JanusError for a wrong recipe, a component that it lacks, a damaged pack or checkpoint.
    """
    recipe = read_recipe(recipe_path)
    components = plan_components(recipe, options.only)
    folder = options.out or recipe_path.parent
    run = Run(options.runs / recipe.model.name)
    lines = [f"{recipe_path}: model {recipe.model.name}, seed {recipe.seed}, device {options.device}"]
    lines += [f"data in {options.data}: {_describe_data(recipe, options.data)}"]
    for i, component in enumerate(components):
        fit: FitRecipe = getattr(recipe, component)
        file = choose_file(component, folder)
        start, fate = _describe_start(component, file, run, options), " (replaced)" if file.exists() else ""
        length = f"{describe_length(fit, options)}{', steps' if options.minutes else ''} of {fit.batch_size}"
        lines.append(f"{component}: {length}, {start}; weights to {file}{fate}")
        missing = [n for n in _list_needs(component, fit) if not choose_file(n, folder).exists()]
        lines += [f"{component} needs {n}: train it first" for n in missing if n not in components[:i]]
    lines.append(f"checkpoints and metrics in {run.folder}")
    return lines


def _list_needs(component: str, fit: FitRecipe) -> tuple[str, ...]:
    return NEEDS.get(component, ()) + (SENSES if component == "decoder" and fit.mix else ())


def _describe_start(component: str, file: Path, run: Run, options: TrainOptions) -> str:
    checkpoint = run.checkpoint(component)
    if options.resume and checkpoint.exists():
        return f"on from step {read_step(checkpoint)}"
    return f"from {file}" if options.warm else "from the start"


def _describe_data(recipe: Recipe, data: Path) -> str:
    pack = data / PACK
    if not pack.exists():
        return "nothing yet, the pack will be fetched from npm" if not _list_kept(data) else "no pack yet"
    drawings = len(list_drawings(read_pack(pack)))
    kept = ", ".join(_list_kept(data))
    return f"a pack of {drawings:,} drawings, {recipe.data.scenes:,} scenes of them" + (
        f"; kept from before: {kept}" if kept else ""
    )


def _list_kept(data: Path) -> list[str]:
    """Name what else is kept in the data folder; each is made again where it does not fit."""
    names = ("sprites-*.bin", "codes.npy", "heard.npz", "said.npz")
    return sorted(path.name for name in names for path in data.glob(name))
