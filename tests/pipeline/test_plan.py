"""Plans: options are completed once, a page laid out once, a prompt checked and laid out once."""

from collections import Counter

import pytest

from bench.make_checkpoint import make
from janus_cli.errors import ModelError, UsageError
from janus_cli.pipeline import PictureOptions, Sampling, Size, load
from janus_cli.records import Record


@pytest.fixture
def calls(monkeypatch):
    """How often each of the steps before the decoder was taken."""
    counts: Counter[str] = Counter()

    def count(place: str) -> None:
        name = place.rpartition(".")[2]
        module, _, attribute = place.rpartition(".")
        holder = load_attribute(module)
        before = getattr(holder, attribute)

        def counted(*args, **options):
            counts[name] += 1
            return before(*args, **options)

        monkeypatch.setattr(holder, attribute, counted)

    for place in (
        "janus_cli.stages.text.TextTokenizer.encode",
        "janus_cli.stages.decoding.prompt.arrange",
        "janus_cli.stages.decoding.prompt.lay_out",
        "janus_cli.pipeline.pipeline.complete",
        "janus_cli.pipeline.own.OwnNets.lay_page",
    ):
        count(place)
    return counts


def load_attribute(place):
    """The module or class of that dotted name."""
    from pkgutil import resolve_name

    return resolve_name(place)


def test_draw_prepares_each_prompt_once(janus, calls):
    done = janus("draw", "a red apple", "a green pear", "-n", "2", "--size", "160x128", "--cfg-scale", "1")
    assert done.code == 0, done.err
    once_a_prompt = {"encode": 2, "arrange": 2, "lay_out": 2}
    assert calls == once_a_prompt | {"complete": 1, "lay_page": 1}


def test_guidance_lays_a_prompt_out_without_its_text_too(janus, calls):
    assert janus("draw", "a red apple", "--cfg-scale", "2").code == 0
    assert (calls["arrange"], calls["lay_out"]) == (1, 2)


def test_a_prepared_prompt_may_be_used_again(tiny_model):
    plan = load(str(tiny_model)).plan_picture(Sampling(seed=3))
    prompt = plan.prepare(load(str(tiny_model)).tokenize("a red apple"))
    first, second = (list(plan.generate([prompt])) for _ in range(2))
    assert (first[0].segments[-1].data == second[0].segments[-1].data).all()
    assert first[0].made_by == second[0].made_by


def test_an_empty_prompt_is_refused_and_a_none_keeps_nothing_back(tiny_model):
    pipeline = load(str(tiny_model))
    plan = pipeline.plan_picture()
    with pytest.raises(UsageError, match="record 'x': an empty prompt"):
        plan.prepare(Record((), "x"))
    prompt = plan.prepare(pipeline.tokenize("a"))
    asked: list[int] = []

    def prompts():
        for i in range(3):
            asked.append(i)
            yield None if i == 1 else prompt

    made = plan.generate(prompts())
    next(made)
    assert asked == [0, 1], "what is there is made before more is waited for"
    assert [r.step("generate")["index"] for r in made] == [0]


def test_draw_passes_over_a_none_and_refuses_an_empty_text(tiny_model):
    pipeline = load(str(tiny_model))
    [record] = pipeline.draw([None, "a"])
    assert record.step("generate")["index"] == 0 and record.id == "1"
    with pytest.raises(UsageError, match="record '0': an empty prompt"):
        list(pipeline.draw([""]))


def test_what_a_page_cannot_be_is_told_once_by_the_plan(tiny_model):
    pipeline = load(str(tiny_model))
    assert pipeline.plan_picture().limits == "" and pipeline.plan_picture().page is None
    plan = pipeline.plan_picture(picture=PictureOptions(Size(160, 128)))
    assert "the drawing has the middle 128 x 128 pixels" in plan.limits and plan.page.scale == 4


def test_preparing_for_a_published_model_reads_no_weights(tmp_path):
    pipeline = load(str(make(tmp_path / "tiny-pro")))
    for plan in (pipeline.plan_picture(), pipeline.plan_text()):
        plan.prepare(pipeline.tokenize("a red apple"))
        assert pipeline.nets.parts._filled == set()


def test_a_model_without_a_decoder_is_refused_before_any_prompt(tiny_model, tmp_path):
    import json
    import shutil

    folder = shutil.copytree(tiny_model, tmp_path / "half")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"decoder": None}))
    plan = load(str(folder)).plan_picture()
    with pytest.raises(ModelError, match="has no decoder"):
        plan.generate(iter(()))
