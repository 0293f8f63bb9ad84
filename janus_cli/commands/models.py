"""`janus models list|show|verify`: the model zoo."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from janus_cli import zoo
from janus_cli.commands import options as opt
from janus_cli.commands.console import Failures
from janus_cli.commands.info import columns, describe_model, table

if TYPE_CHECKING:
    import torch

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="The model zoo.")


@app.command("list")
def list_models(as_json: opt.Json = False) -> None:
    """The models that are here."""
    found = [describe_model(model) for model in zoo.models()]
    if as_json:
        for facts in found:
            print(json.dumps(facts, ensure_ascii=False))
        return
    rows = [["name", "parameters", "MB", "components", "folder"]]
    for facts in found:
        have = [name for name, part in facts["components"].items() if "parameters" in part]
        rows.append([facts["name"], f"{facts['parameters']:,}", f"{facts['bytes'] / 1e6:.1f}",
                     " ".join(have) or "none", facts["path"]])
    print("\n".join(line.removeprefix("  ") for line in columns(rows)))


@app.command("show")
def show(model: Annotated[str, typer.Argument(metavar="MODEL")] = zoo.DEFAULT,
         as_json: opt.Json = False) -> None:
    """One model's components, sizes and fingerprints."""
    facts = describe_model(zoo.find(model))
    print(json.dumps(facts, ensure_ascii=False) if as_json else "\n".join(table(facts)))


@app.command("verify")
def verify(models: Annotated[list[str] | None, typer.Argument(metavar="MODEL")] = None) -> None:
    """Load every component strictly; name what is missing or does not fit."""
    failures = Failures()
    done = 0
    for model in [zoo.find(name) for name in models] if models else zoo.models():
        parts = [c for c in zoo.COMPONENTS if getattr(model.config, c) is not None]
        for component in ["tokenizer"] * ("decoder" in parts) + parts:
            with failures.item(model.name):
                print(f"{model.name} {component}: {_check(model, component)}")
                done += 1
    failures.finish(done)


def _check(model: zoo.Model, component: str) -> str:
    """Load one component. Raises ModelError for what is wrong with it."""
    if component == "tokenizer":
        from janus_cli.stages.text import TextTokenizer

        text = TextTokenizer(model.tokenizer_file, model.name)
        return f"ok, {text.vocab_size} tokens, {text.fingerprint[:12]}"
    from janus_cli import weights

    net: Any = _build(model, component)
    module: torch.nn.Module = weights.load(net, model.file(component))
    mark = f", {model.codebook_fingerprint[:12]}" if component == "dvae" else ""
    return f"ok, {sum(t.numel() for t in module.state_dict().values()):,} parameters{mark}"


def _build(model: zoo.Model, component: str) -> Any:
    from janus_cli.nets.decoder import Decoder
    from janus_cli.nets.dvae import DVAE
    from janus_cli.nets.judge import Judge
    from janus_cli.nets.refiner import Refiner

    nets: dict[str, Any] = {"dvae": DVAE, "decoder": Decoder, "refiner": Refiner, "judge": Judge}
    return nets[component](getattr(model.config, component))
