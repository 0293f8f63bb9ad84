"""The kernels of a plain layer's step, run by Triton's interpreter: what `step.run_layer` computes."""

import os
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
import torch

if find_spec("triton") is None:
    pytest.skip("torch for CUDA brings Triton, torch for the CPU does not", allow_module_level=True)
os.environ["TRITON_INTERPRET"] = "1"  # Triton asks when it is imported, and again when it runs

from helpers.decoders import SWITCHES, random_decoder

from bench.gpu import make_janus_pro
from janus_cli.nets import kernels
from janus_cli.nets import step as reference
from janus_cli.nets.step import Step, fold

CLOSE = dict(rtol=1e-5, atol=1e-5)


@pytest.fixture(autouse=True, scope="module")
def interpreter() -> Iterator[None]:
    """Leave the environment as it was."""
    yield
    del os.environ["TRITON_INTERPRET"]


def begin(rows: int, kernel: bool) -> Step:
    """A step of a tiny Janus-Pro after prompts of uneven length."""
    net = make_janus_pro("tiny", "cpu", torch.float32)
    ids = torch.arange(9).expand(rows, -1).clone()
    types = torch.zeros_like(ids)
    types[0, :4] = -1
    cache = net.make_cache(rows, 9)
    net(ids, types, ids, ids, cache=cache)
    step = Step(fold(net, "image"), rows, 64, 6)
    step.begin(cache)
    step.filled = None
    step.run_layer = kernels.run_layer if kernel else reference.run_layer
    return step


@pytest.mark.slow
@pytest.mark.parametrize("rows", [2, 20])
def test_kernels_compute_what_the_plain_step_does(rows: int) -> None:
    ours, theirs = begin(rows, True), begin(rows, False)
    for token in range(2):
        ids = torch.arange(rows) + token
        torch.testing.assert_close(ours.advance(ids), theirs.advance(ids), **CLOSE)
    for mine, plain in zip(ours.keys + ours.values, theirs.keys + theirs.values, strict=True):
        torch.testing.assert_close(mine, plain, **CLOSE)


@pytest.mark.parametrize("tile", [None, (32, 64, 4, 2), (16, 32, 4, 2)])
def test_a_product_is_the_same_by_any_tile(tile: tuple[int, int, int, int] | None) -> None:
    torch.manual_seed(0)
    x, weight, rest = torch.randn(3, 128), torch.randn(192, 128), torch.randn(3, 192)
    torch.testing.assert_close(
        kernels.multiply(x, weight, rest=rest, tile=tile), rest + x @ weight.T, **CLOSE
    )


def test_what_is_no_plain_layer_is_left_to_the_step() -> None:
    def can(name: str, rows: int = 2) -> bool:
        return kernels.can_run(fold(random_decoder(SWITCHES[name]), "image"), rows)

    assert [name for name in SWITCHES if can(name)] == ["mha"]
    assert not can("mha", rows=kernels.MOST_ROWS + 1)
