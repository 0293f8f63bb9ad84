"""Weights between safetensors files and modules: always strict, never pickled, memory-mapped.

Knows one file and one module. Which file belongs to which net is zoo's business.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from janus_cli import zoo
from janus_cli.errors import MediaError, ModelError
from janus_cli.media.files import fill_path
from janus_cli.nets.build import build
from janus_cli.nets.finite import note_origin

M = TypeVar("M", bound=nn.Module)
DEPTHS = ("n_layer", "n_block")  # words of configurations that say how often a part is there


def check_shapes(
    expected: Mapping[str, Sequence[int]], found: Mapping[str, Sequence[int]], where: object, why: str
) -> None:
    """Raise ModelError naming the first tensor by which a file and what it is for differ.

    `where` stands in front of the message, `why` ("the model needs") before the shape that is expected.
    """
    if missing := [name for name in expected if name not in found]:
        raise ModelError(f"{where}: tensor {missing[0]} is missing ({len(missing)} in all)")
    if unknown := sorted(set(found) - set(expected)):
        raise ModelError(f"{where}: unknown tensor {unknown[0]} ({len(unknown)} in all)")
    for name, shape in expected.items():
        if list(found[name]) != list(shape):
            raise ModelError(f"{where}: tensor {name} has shape {list(found[name])}, {why} {list(shape)}")


def load(module: M, path: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> M:
    """Load the weights in `path` into `module`: on `device`, in eval mode and without gradients.

    Floating tensors become `dtype`; those that already are stay mapped to the file on the CPU. Raises
    ModelError naming the file and the tensor that is missing, unknown, mis-shaped or of a wrong kind.
    """
    expected = module.state_dict()
    state = {}
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            found = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
            check_shapes({name: t.shape for name, t in expected.items()}, found, path, "the model needs")
            for name, wanted in expected.items():
                tensor = file.get_tensor(name)
                if tensor.is_floating_point() != wanted.is_floating_point():
                    kinds = f"holds {tensor.dtype}, the model needs {wanted.dtype}"
                    raise ModelError(f"{path}: tensor {name} {kinds}")
                state[name] = tensor.to(device, dtype if wanted.is_floating_point() else wanted.dtype)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path}: not a readable safetensors file; it may be truncated ({error})") from None
    module.load_state_dict(state, strict=True, assign=True)
    return module.to(device).eval().requires_grad_(False)


def load_component(model: zoo.Model, component: str, device: Callable[[], str]) -> Any:
    """Load one net of a model of ours, with its weights. Raises ModelError where it has none.

    `device` gives where it goes, and is asked only if there is such a net. No memory is taken for a net whose
    sizes in config.json are not those in the file's header.
    """
    file, config = model.file(component), getattr(model.config, component)
    held = zoo.read_header(file)
    check_depth(config, held, f"{model.path / 'config.json'}.{component}")
    hollow = build_hollow(lambda: build(component, config), f"{model.path / 'config.json'}.{component}")
    expected = {name: t.shape for name, t in hollow.state_dict().items()}
    check_shapes(expected, {name: t.shape for name, t in held.items()}, file, "the model needs")
    with _NoInitialValues():
        net = build(component, config)
    note_origin(net, component, model.name)
    return load(net, file, device())


def check_depth(config: Any, names: Iterable[str], where: str) -> None:
    """Raise ModelError, with `where` in front, if `config` asks for more layers than tensors' `names` count.

    Even a net without memory takes some, and time, for every layer.
    """
    words = (word for name in names for word in name.split("."))
    layers = 1 + max((int(word) for word in words if word.isdecimal() and len(word) < 9), default=0)
    for word, value in dataclasses.asdict(config).items():
        if word in DEPTHS and value > layers:
            raise ModelError(
                f"{where}.{word}: {value}, but the tensors of its weights count {layers} at most"
            )


def save(weights: nn.Module | Mapping[str, Tensor], path: Path, dtype: torch.dtype | None = None) -> None:
    """Write a module's or a state dict's tensors to `path`, whole or not at all.

    Floating tensors are cast to `dtype` if one is given; the others stay as they are. Raises ModelError
    if the file cannot be written.
    """
    from safetensors.torch import save_file

    state = weights.state_dict() if isinstance(weights, nn.Module) else weights
    ready = {}
    for name, tensor in state.items():
        cast = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
        plain = tensor.detach().to("cpu", cast).contiguous()
        # A view would drag its whole storage along, and two views of one storage are refused.
        ready[name] = plain if plain.untyped_storage().nbytes() == plain.nbytes else plain.clone()
    try:
        with fill_path(path) as temporary:
            save_file(ready, temporary)
            temporary.chmod(0o644)  # safetensors gives the owner alone access; an installed model is for all
    except (SafetensorError, MediaError) as error:
        raise ModelError(f"{path}: cannot write the weights ({error})") from None


class _NoInitialValues(TorchFunctionMode):
    """Passes over torch.nn.init: on the meta device it has nothing to do, but imports for two seconds.

    So does arithmetic there: a net computes nothing of its weights while it is built, but by torch.nn.init.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def build_hollow(build: Callable[[], M], where: object) -> M:
    """Build a module without memory for its weights: they are on the meta device.

    Raises ModelError, with `where` in front, for sizes of which there is no such net.
    """
    try:
        with torch.device("meta"), _NoInitialValues():
            return build()
    except (RuntimeError, ValueError, TypeError, ArithmeticError, LookupError, AssertionError) as error:
        reason = str(error).split("\n")[0]
        raise ModelError(f"{where}: there is no net of these sizes ({reason})") from None


def fill(module: M, source: Callable[[str], Tensor], names: Iterable[str]) -> M:
    """Fill the tensors `names` of a hollow module with what `source` gives, one at a time, and no others.

    It is left in eval mode and without gradients.
    """
    for name in names:
        part, _, own = name.rpartition(".")
        setattr(module.get_submodule(part), own, nn.Parameter(source(name), requires_grad=False))
    return module.eval().requires_grad_(False)
