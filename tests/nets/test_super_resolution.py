"""Published super-resolution nets: equal to spandrel's own, whole and in tiles; what is refused."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.enlargers import build, picture, save, tensors
from helpers.runs import ROOT

from janus_cli.errors import ModelError, UsageError
from janus_cli.nets.super_resolution import Enlarger, import_spandrel
from janus_cli.stages.rows import tiles
from janus_cli.stages.super_resolution import Picture, SuperResolution
from janus_cli.weights.checkpoint import read_state

KINDS = ("compact", "span", "esrgan", "swinir")


def enlarged(net: Enlarger, image: np.ndarray, tile: int | None = 0) -> np.ndarray:
    return SuperResolution(net, tile).enlarge(Picture.from_file(image, "")).whole()


@pytest.fixture(scope="module")
def nets():
    return {kind: Enlarger.from_state(tensors(build(kind)), kind) for kind in KINDS}


@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [
        ("compact", "a.safetensors", {}),
        ("span", "a.pth", {}),
        ("esrgan", "a.pth", {"key": "params_ema"}),
        ("swinir", "a.pt", {"key": "params"}),
        ("compact", "a.ckpt", {"_use_new_zipfile_serialization": False}),
    ],
)
def test_the_same_as_spandrels_own_call(kind, name, options, tmp_path):
    path, image = save(build(kind), tmp_path / name, **options), picture(21, 37)
    theirs = import_spandrel().ModelLoader().load_from_file(path).eval()
    x = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    reference = (theirs(x)[0].permute(1, 2, 0) * 255).round().numpy()
    ours = enlarged(Enlarger.from_state(read_state(path), name), image).astype(int)
    assert ours.shape == (21 * theirs.scale, 37 * theirs.scale, 3) and ours.std() > 5
    assert np.abs(ours - reference).max() <= 1


@pytest.mark.parametrize("kind", ["compact", "span"])
def test_tiles_of_convolutions_equal_the_whole(kind, nets):
    image = picture(110, 130)
    whole, tiled = (enlarged(nets[kind], image, tile).astype(int) for tile in (0, 96))
    assert tiles.count_tiles(image.shape, 96, nets[kind].align) == 6
    assert np.abs(whole - tiled).max() <= 1


def test_tiles_of_attention_hardly_differ_from_the_whole(nets, monkeypatch):
    """Windows lie as in the whole, and the margin hides what a cut does to those beside it."""
    net, image = nets["swinir"], picture(110, 130)
    whole = enlarged(net, image).astype(int)

    def worst(align: int) -> int:
        net.align = align
        return int(np.abs(enlarged(net, image, 96) - whole).max())

    aligned, askew = worst(32), worst(5)
    assert net.whole and aligned <= 2 < askew
    monkeypatch.setattr(tiles, "MARGIN", 0)
    monkeypatch.setattr(tiles, "OVERLAP", tiles.FADE)
    assert worst(32) > aligned


def test_a_grey_net_takes_the_channels_one_by_one():
    net = Enlarger.from_state(tensors(build("compact", num_in_ch=1, num_out_ch=1, upscale=2)), "grey")
    image = picture(12, 10)
    reference = [enlarged(net, image[..., [c, c, c]])[..., 0] for c in range(3)]
    assert np.array_equal(enlarged(net, image), np.stack(reference, axis=-1))


def test_bf16_is_close(nets):
    net = Enlarger.from_state(tensors(build("compact")), "bf", dtype=torch.bfloat16)
    image = picture(24, 24)
    difference = np.abs(enlarged(net, image).astype(int) - enlarged(nets["compact"], image))
    assert net.net.dtype is torch.bfloat16 and 0 < difference.max() <= 8


def test_names_and_sizes(nets):
    assert [(n.scale, n.align, n.architecture) for n in nets.values()] == [
        (4, 32, "RealESRGAN Compact"),
        (2, 32, "SPAN"),
        (2, 32, "ESRGAN"),
        (2, 32, "SwinIR"),
    ]
    assert SuperResolution(nets["span"]).tile == 256 and SuperResolution(nets["span"], 5).tile == 96


# ---- what is refused


def described(call=lambda x: x, **told):
    """What spandrel says of a net, with `call` as the net."""

    class Net:
        scale, purpose, architecture = 1, "SR", SimpleNamespace(name="Odd")
        input_channels = output_channels = 3
        size_requirements, tiling = SimpleNamespace(multiple_of=1), SimpleNamespace(name="SUPPORTED")
        device, dtype = torch.device("cpu"), torch.float32
        __call__ = staticmethod(call)

    net = Net()
    vars(net).update(told)
    return net


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"purpose": "Inpainting"}, "x.pth: a Odd checkpoint for Inpainting"),
        ({"input_channels": 4}, "from 4 to 3 channels"),
        ({"input_channels": 1}, "from 1 to 3 channels"),
    ],
)
def test_nets_for_something_else(told, says):
    with pytest.raises(ModelError, match=says):
        Enlarger(described(**told), "x.pth")


def fails(error):
    def call(x):
        raise error

    return call


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x: x[..., :-1], "its scale is not the 1"),
        (lambda x: x / 0, "no finite numbers"),
        (fails(torch.OutOfMemoryError("CUDA out of memory")), "no memory for 6 x 5 pixels at once"),
        (fails(RuntimeError("DefaultCPUAllocator: can't allocate memory")), "give a smaller --tile"),
    ],
)
def test_nets_that_fail_at_work(call, says):
    with pytest.raises(ModelError, match=says):
        Enlarger(described(call), "x.pth")(torch.zeros(1, 3, 5, 6))


def test_a_bug_stays_a_bug():
    with pytest.raises(RuntimeError, match="mat1"):
        Enlarger(described(fails(RuntimeError("mat1 and mat2"))), "x.pth")(torch.zeros(1, 3, 5, 6))


def test_random_nets_draw_the_same_for_every_tile_and_disturb_nobody():
    net = Enlarger(described(lambda x: torch.rand_like(x)), "x.pth")
    torch.manual_seed(5)
    due = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(net(torch.zeros(1, 3, 4, 4)), net(torch.ones(1, 3, 4, 4)))
    assert torch.equal(torch.rand(3), due)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda state: {"weight": state["body.0.weight"]},
            "no super-resolution checkpoint of an architecture",
        ),
        (lambda state: state | {"body.2.weight": torch.zeros(3, 3)}, "fit no architecture"),
        (lambda state: {5: 7} | state, "fit no architecture"),
    ],
)
def test_weights_that_fit_nothing(change, says):
    with pytest.raises(ModelError, match=f"^odd.pth: .*{says}"):
        Enlarger.from_state(change(tensors(build("compact"))), "odd.pth")


def test_a_dtype_that_the_net_cannot(monkeypatch, nets):
    spandrel = import_spandrel()
    monkeypatch.setattr(
        spandrel.ImageModelDescriptor,
        "to",
        lambda *_, **__: (_ for _ in ()).throw(spandrel.UnsupportedDtypeError("no")),
    )
    with pytest.raises(UsageError, match="RealESRGAN Compact cannot compute in bfloat16: leave --dtype away"):
        Enlarger.from_state(tensors(build("compact")), "x", dtype=torch.bfloat16)


def test_without_spandrel(monkeypatch):
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(UsageError, match=r"need the package spandrel: pip install 'janus-cli\[sr\]'"):
        import_spandrel()


@pytest.mark.slow
def test_beside_a_torchvision_that_does_not_load(tmp_path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    code = (
        "import sys; from janus_cli.nets.super_resolution import import_spandrel; "
        "assert len(import_spandrel().MAIN_REGISTRY) > 30; assert 'torchvision' not in sys.modules"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
