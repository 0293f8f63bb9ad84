"""The image, denoise and upsample stages: records in, records out, with toy nets."""

import numpy as np
import pytest
import torch

from janus_cli.config import RefinerConfig
from janus_cli.errors import MediaError, ModelError, RecordError, UsageError
from janus_cli.media.pictures import pixels_to_image
from janus_cli.nets.refiner import Refiner
from janus_cli.records import Record, Segment, dumps, loads
from janus_cli.records.progressive import run_stage
from janus_cli.stages.denoise import Denoise, DenoiseOptions, find_item_index
from janus_cli.stages.image import decode_image, encode_image
from janus_cli.stages.upsample import Upsample, UpsampleOptions

CODES = 32
RECORD_INFO = {"tokenizer": "toy", "fingerprint": "f" * 64, "patch": 8}


def tokens(rows: int = 3, cols: int = 4, seed: int = 0, **info: object) -> Record:
    data = np.random.default_rng(seed).integers(0, CODES, (rows, cols)).astype(np.uint16)
    return Record((Segment("image", data, RECORD_INFO | info),), "toy")


def pixels_of(record: Record) -> np.ndarray:
    segment = record.find("pixels")
    assert segment is not None
    return segment.data


def denoise(records, dvae, refiner, options):
    return run_stage(Denoise(dvae, refiner, options), records)


def upsample(records, dvae, refiner, options):
    return run_stage(Upsample(dvae, refiner, options), records)


# ---- image


def test_encode_then_decode_keeps_an_odd_size(dvae):
    image = np.random.default_rng(0).integers(0, 256, (19, 30, 3), np.uint8)
    record = encode_image(image, dvae, "toy", "f" * 64, id="a", source="cat.png")
    segment = record.find("image")
    assert segment.data.shape == (3, 4) and segment.data.dtype == np.uint16
    assert dict(segment.info) == RECORD_INFO | {"size": [19, 30]}
    assert record.made_by == ({"stage": "tokenize", "modality": "image", "source": "cat.png"},)
    assert decode_image(loads(dumps(record)).find("image"), dvae).shape == (19, 30, 3)


def test_encode_is_patch_local_and_pads_with_the_edge(dvae):
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    grid = encode_image(image, dvae, "toy", "f").find("image").data
    assert encode_image(image[:8, 8:], dvae, "toy", "f").find("image").data == grid[0, 1]
    padded = np.pad(image[:13, :11], ((0, 3), (0, 5), (0, 0)), mode="edge")
    short = encode_image(image[:13, :11], dvae, "toy", "f").find("image").data
    assert np.array_equal(short, encode_image(padded, dvae, "toy", "f").find("image").data)


def test_encode_takes_read_only_pictures_and_refuses_others(dvae):
    image = np.zeros((8, 8, 3), np.uint8)
    image.flags.writeable = False
    encode_image(image, dvae, "toy", "f")
    for bad in (np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3)), image[:0]):
        with pytest.raises(MediaError, match=r"expected uint8 \[H, W, 3\]"):
            encode_image(bad, dvae, "toy", "f")


@pytest.mark.parametrize("size", [[0, 5], [25, 8], "large", [8], [8.0, 8]])
def test_decode_refuses_an_impossible_size(dvae, size):
    with pytest.raises(RecordError, match="does not fit"):
        decode_image(tokens(size=size).find("image"), dvae)


def test_decode_refuses_foreign_tokens(dvae):
    with pytest.raises(RecordError, match="16 px patches, the model's for 8 px"):
        decode_image(tokens(patch=16).find("image"), dvae)
    with pytest.raises(RecordError, match="out of range"):
        decode_image(Segment("image", np.full((1, 1), CODES, np.uint16)), dvae)
    with pytest.raises(RecordError, match="expected an image segment"):
        decode_image(Segment("text", np.zeros(3, np.uint16)), dvae)


# ---- denoise


def test_denoise_appends_pixels_and_repeats_itself(dvae, refiner):
    options = DenoiseOptions(steps=2, noise=1, seed=5)
    [once], [again] = (list(denoise([tokens()], dvae, refiner, options)) for _ in range(2))
    assert dumps(once) == dumps(again)
    assert [s.modality for s in once.segments] == ["image", "pixels"]
    assert pixels_of(once).shape == (3, 4, 8, 8, 3) and pixels_of(once).dtype == np.uint8
    assert once.made_by[-1] == {"stage": "denoise", "steps": 2, "noise": 1, "seed": 5}
    others = [DenoiseOptions(steps=2, noise=noise, seed=seed) for noise, seed in ((1, 6), (0.5, 5), (0, 5))]
    pictures = [pixels_of(next(denoise([tokens()], dvae, refiner, o))) for o in (options, *others)]
    assert len({p.tobytes() for p in pictures}) == 4
    [twice] = denoise([once], dvae, refiner, options)
    assert [s.modality for s in twice.segments] == ["image", "pixels"]


def test_zero_steps_give_the_reconstruction(dvae, refiner):
    record = tokens()
    [out] = denoise([record], dvae, refiner, DenoiseOptions(steps=0))
    assert np.array_equal(pixels_to_image(pixels_of(out)), decode_image(record.find("image"), dvae))


def test_a_batch_equals_single_runs_and_is_lazy(dvae, refiner):
    records, options = [tokens(seed=i) for i in range(3)], DenoiseOptions(steps=2)
    together = [dumps(r) for r in denoise(records, dvae, refiner, options)]
    assert together == [dumps(next(denoise([r], dvae, refiner, options))) for r in records]

    def endless():
        while True:
            yield tokens()

    assert next(denoise(endless(), dvae, refiner, options)).id == "toy"


def test_noise_is_keyed_by_the_index_that_generate_wrote(dvae, refiner):
    first, second = (tokens().with_step("generate", seed=1, index=i) for i in (0, 1))
    assert (find_item_index(tokens()), find_item_index(first), find_item_index(second)) == (0, 0, 1)
    assert find_item_index(tokens().with_step("generate", index="x")) == 0
    one, two = denoise([first, second], dvae, refiner, DenoiseOptions(noise=1))
    assert not np.array_equal(pixels_of(one), pixels_of(two))
    one, two = denoise([first, second], dvae, refiner, DenoiseOptions())
    assert np.array_equal(pixels_of(one), pixels_of(two)), "nothing is drawn where there is no noise"


def test_denoise_errors(dvae, refiner):
    options = DenoiseOptions()
    with pytest.raises(RecordError, match="no image tokens"):
        next(denoise([Record(())], dvae, refiner, options))
    with pytest.raises(RecordError, match="out of range"):
        next(denoise([Record((Segment("image", np.full((1, 1), 99, np.uint16)),))], dvae, refiner, options))
    foreign = Refiner(RefinerConfig(dim=16, n_block=1, kernel=3, groups=2, codebook_size=9, code_dim=4))
    with pytest.raises(ModelError, match="9 codes of 8 px, the dVAE has 32"):
        next(denoise([], dvae, foreign, options))
    with pytest.raises(ModelError, match="different models"):
        next(upsample([], dvae, foreign, UpsampleOptions()))
    for bad in ({"steps": -1}, {"steps": 65}, {"seed": -1}, {"noise": 1.5}):
        with pytest.raises(UsageError):
            DenoiseOptions(**bad)


# ---- upsample


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_upsample_replaces_the_pixels(dvae, refiner, scale):
    [sharp] = denoise([tokens(size=[19, 30])], dvae, refiner, DenoiseOptions(steps=1))
    [large] = upsample([sharp], dvae, refiner, UpsampleOptions(scale))
    assert [s.modality for s in large.segments] == ["image", "pixels"]
    assert pixels_of(large).shape == (3, 4, 8 * scale, 8 * scale, 3)
    assert dict(large.find("pixels").info) == {"patch": 8 * scale, "size": [19 * scale, 30 * scale]}
    assert large.made_by[-1] == {"stage": "upsample", "scale": scale}
    if scale == 1:
        assert np.array_equal(pixels_of(large), pixels_of(sharp))


def test_upsample_decodes_bare_tokens_first(dvae, refiner):
    [plain] = denoise([tokens()], dvae, refiner, DenoiseOptions(steps=0))
    [expected], [found] = (list(upsample([r], dvae, refiner, UpsampleOptions())) for r in (plain, tokens()))
    assert np.array_equal(pixels_of(expected), pixels_of(found))


def test_upsample_goes_without_tokens(dvae, refiner):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 2, 8, 8, 3), np.uint8)
    [out] = upsample([Record((Segment("pixels", pixels),))], dvae, refiner, UpsampleOptions(2))
    assert pixels_of(out).shape == (2, 2, 16, 16, 3)


def test_two_passes_are_close_to_one_call(dvae, refiner):
    """Only the rounding to bytes between the passes differs."""
    [at_once] = upsample([tokens()], dvae, refiner, UpsampleOptions(4))
    [half] = upsample([tokens()], dvae, refiner, UpsampleOptions(2))
    [twice] = upsample([half], dvae, refiner, UpsampleOptions(2))
    difference = np.abs(pixels_of(at_once).astype(int) - pixels_of(twice).astype(int))
    assert pixels_of(twice).shape == pixels_of(at_once).shape
    assert difference.max() <= 12 and difference.mean() < 1


@pytest.mark.parametrize(
    ("side", "scale", "message"),
    [
        (12, 2, "12 px patches, the refiner knows 8, 16, 32"),
        (16, 4, "16 px already and x4 would pass 32 px: choose --scale 2"),
        (32, 2, "32 px already, the full size: leave `upsample` out"),
    ],
)
def test_upsample_refuses_patches_that_do_not_fit(dvae, refiner, side, scale, message):
    record = Record((Segment("pixels", np.zeros((1, 1, side, side, 3), np.uint8)),))
    with pytest.raises(RecordError, match=message):
        next(upsample([record], dvae, refiner, UpsampleOptions(scale)))


def test_upsample_errors(dvae, refiner):
    for scale in (0, 3, 8):
        with pytest.raises(UsageError, match="choose 1, 2 or 4") as caught:
            UpsampleOptions(scale)
        assert caught.value.exit_code == 2
    with pytest.raises(RecordError, match="neither pixels nor image tokens"):
        next(upsample([Record(())], dvae, refiner, UpsampleOptions()))
    mixed = Record((*tokens().segments, Segment("pixels", np.zeros((1, 2, 8, 8, 3), np.uint8))))
    with pytest.raises(RecordError, match="1 x 2 patches of pixels, but 3 x 4 image tokens"):
        next(upsample([mixed], dvae, refiner, UpsampleOptions()))
    with pytest.raises(RecordError, match="out of range"):
        bad = Segment("image", np.full((1, 1), 99, np.uint16))
        next(upsample([Record((bad,))], dvae, refiner, UpsampleOptions()))


# ---- denoised and enlarged: straight at the final size, and in the same passes


@pytest.mark.parametrize("scale", [2, 4])
def test_denoising_at_the_final_size_starts_from_the_enlarged(dvae, refiner, scale):
    record = tokens(size=[20, 30])
    plain = next(upsample([record], dvae, refiner, UpsampleOptions(scale)))
    started = next(denoise([record], dvae, refiner, DenoiseOptions(0, scale=scale)))
    apart = np.abs(pixels_of(started).astype(int) - pixels_of(plain).astype(int))
    assert pixels_of(started).shape == (3, 4, 8 * scale, 8 * scale, 3) and np.median(apart) <= 2
    sharp = next(denoise([record], dvae, refiner, DenoiseOptions(1, scale=scale)))
    segment = sharp.find("pixels")
    assert dict(segment.info) == {"patch": 8 * scale, "size": [20 * scale, 30 * scale]}
    assert sharp.made_by[-1] == {"stage": "denoise", "steps": 1, "scale": scale}
    whole = (
        torch.from_numpy(pixels_to_image(pixels_of(started)).astype(np.float32)).permute(2, 0, 1)[None]
        / 127.5
        - 1
    )
    codes = torch.from_numpy(record.find("image").data.astype(np.int64))[None]
    with torch.inference_mode():
        wanted = refiner.denoise(whole, whole, torch.zeros_like(whole[:, :1]), codes)
    wanted = wanted[0].permute(1, 2, 0).clamp(-1, 1).numpy()
    apart = pixels_to_image(pixels_of(sharp)).astype(np.float32) / 127.5 - 1 - wanted
    assert np.abs(apart[: 8 * scale]).mean() < 0.05


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("scale", [2, 4])
def test_one_pass_denoises_and_enlarges(dvae, refiner, scale, steps):
    """On one row of tokens the bands are the whole picture, so the nets alone say what must come."""
    record = tokens(rows=1)
    done = next(upsample([record], dvae, refiner, UpsampleOptions(scale, steps=steps)))
    assert done.made_by[-1] == {"stage": "upsample", "scale": scale, "steps": steps}
    codes = torch.from_numpy(record.find("image").data.astype(np.int64))[None]
    with torch.inference_mode():
        y = dvae.decode(codes).clamp(-1, 1).mul(127.5).add(127.5).round().div(127.5).sub(1)
        for _ in range(scale.bit_length() - 1):
            x = y
            for step in range(steps):
                t = torch.full_like(x[:, :1], step / steps)
                guess, large = refiner.denoise_up(x, y, t, codes)
                x = x + (guess - x) / (steps - step)
            y = large.clamp(-1, 1)
    wanted = y[0].permute(1, 2, 0).add(1).mul(127.5).numpy()
    np.testing.assert_allclose(pixels_to_image(pixels_of(done)), wanted, atol=1.0)


def test_pixels_that_came_are_enlarged_and_then_denoised_in_the_next_pass(dvae, refiner):
    sharp = next(denoise([tokens(rows=1)], dvae, refiner, DenoiseOptions(2)))
    once = next(upsample([sharp], dvae, refiner, UpsampleOptions(2)))
    told = next(upsample([sharp], dvae, refiner, UpsampleOptions(2, steps=3)))
    np.testing.assert_array_equal(pixels_of(once), pixels_of(told))
    codes = torch.from_numpy(sharp.find("image").data.astype(np.int64))[None]
    x = torch.from_numpy(pixels_to_image(pixels_of(once)).astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[
        None
    ]
    with torch.inference_mode():
        large = refiner.denoise_up(x, x, torch.zeros_like(x[:, :1]), codes)[1].clamp(-1, 1)
    wanted = large[0].permute(1, 2, 0).add(1).mul(127.5).numpy()
    done = next(upsample([sharp], dvae, refiner, UpsampleOptions(4, steps=1)))
    np.testing.assert_allclose(pixels_to_image(pixels_of(done)), wanted, atol=2.5)


def test_a_scale_of_one_and_no_steps_change_nothing(dvae, refiner):
    record = next(denoise([tokens()], dvae, refiner, DenoiseOptions(2)))
    assert dumps(next(denoise([tokens()], dvae, refiner, DenoiseOptions(2, scale=1)))) == dumps(record)
    same = next(upsample([record], dvae, refiner, UpsampleOptions(1, steps=2)))
    np.testing.assert_array_equal(pixels_of(same), pixels_of(record))


def test_impossible_scales_and_steps(dvae, refiner):
    with pytest.raises(UsageError, match="--scale 3"):
        DenoiseOptions(scale=3)
    with pytest.raises(UsageError, match="--steps 65"):
        UpsampleOptions(steps=65)
