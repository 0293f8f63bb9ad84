"""Weight files: round trip, strictness, and one clear error for each fault."""

from pathlib import Path

import pytest
import torch
from helpers.decoders import FULL, prompts, random_decoder
from safetensors.torch import load_file, save_file
from torch import nn

from janus_cli import weights
from janus_cli.errors import ModelError
from janus_cli.nets.decoder import Decoder


class Small(nn.Module):
    """A layer, and a buffer of whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.register_buffer("count", torch.tensor([1 << 40, 7]))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    weights.save(Small(), path)
    return path


def test_round_trip_gives_the_same_outputs(tmp_path: Path) -> None:
    net = random_decoder(FULL)
    weights.save(net, tmp_path / "decoder.safetensors")
    again = weights.load(Decoder(FULL), tmp_path / "decoder.safetensors")
    batch = prompts([3], left=True)
    assert torch.equal(again(*batch), net(*batch))
    assert not again.training and not any(p.requires_grad for p in again.parameters())


def test_half_precision_casts_floating_tensors_only(tmp_path: Path) -> None:
    net, path = Small(), tmp_path / "half.safetensors"
    weights.save(net, path, dtype=torch.float16)
    stored = load_file(path)
    assert stored["layer.weight"].dtype == torch.float16
    assert stored["count"].dtype == torch.int64
    again = weights.load(Small(), path)
    assert again.layer.weight.dtype == torch.float32
    torch.testing.assert_close(again.layer.weight, net.layer.weight, rtol=1e-3, atol=1e-3, check_dtype=True)
    assert torch.equal(again.get_buffer("count"), net.get_buffer("count"))
    assert weights.load(Small(), path, dtype=torch.bfloat16).layer.weight.dtype == torch.bfloat16


def test_views_are_saved_alone(tmp_path: Path) -> None:
    whole, path = torch.arange(1000.0), tmp_path / "views.safetensors"
    weights.save({"a": whole[:3], "b": whole[3:6], "c": whole.view(10, 100).T}, path)
    stored = load_file(path)
    assert stored["b"].tolist() == [3, 4, 5] and stored["c"].shape == (100, 10)
    assert path.stat().st_size < 5000


def rewrite(path: Path, **changes: torch.Tensor | None) -> None:
    state = {**load_file(path), **{k.replace("__", "."): v for k, v in changes.items()}}
    save_file({k: v for k, v in state.items() if v is not None}, path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer__bias": None}, r"tensor layer\.bias is missing"),
        ({"layer__extra": torch.zeros(1)}, r"unknown tensor layer\.extra"),
        ({"layer__weight": torch.zeros(2, 4)}, r"layer\.weight has shape \[2, 4\], the model needs \[2, 3\]"),
        ({"layer__weight": torch.zeros(2, 3, dtype=torch.int32)}, r"layer\.weight holds torch\.int32"),
    ],
)
def test_a_file_that_differs_is_refused_by_name(file: Path, changes: dict, message: str) -> None:
    rewrite(file, **changes)
    with pytest.raises(ModelError, match=message) as caught:
        weights.load(Small(), file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("size", [0, 5, 30, -1])
def test_a_truncated_file_is_an_error(file: Path, size: int) -> None:
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ModelError, match=r"small\.safetensors: not a readable safetensors file"):
        weights.load(Small(), file)


def test_a_file_of_noise_a_folder_and_no_file_are_errors(file: Path) -> None:
    file.write_bytes(bytes(range(256)) * 4)
    for path in (file, file.parent, file.parent / "none.safetensors"):
        with pytest.raises(ModelError, match=path.name):
            weights.load(Small(), path)


def test_a_failed_save_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ModelError, match=r"cannot write the weights.*No space left"):
        weights.save(Small(), file)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_saving_into_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot write the weights"):
        weights.save(Small(), tmp_path / "none" / "small.safetensors")
