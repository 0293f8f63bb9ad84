"""`generate --join`: one prompt of all that was given, or none."""

import json

from helpers.runs import ROOT, no_traceback


def test_a_missing_part_leaves_no_answer(janus, environment):
    assert janus("tokenize", "text", "a", "-o", "a.safetensors").code == 0
    for inputs in (["a.safetensors", "none.safetensors"], ["none.safetensors", "nor.safetensors"]):
        done = janus("generate", *inputs, "--join", "-o", "out.safetensors")
        assert done.code == 1 and "a part of the prompt is missing" in done.err and no_traceback(done)
        assert not (environment / "out.safetensors").exists()


def test_a_tokenizer_that_is_no_name(janus, environment):
    from janus_cli.records import dumps, loads

    janus("tokenize", "text", "a", "-o", "a.safetensors")
    record = loads((environment / "a.safetensors").read_bytes())
    record.segments[0].info["tokenizer"] = [json.loads("1")]
    (environment / "b.safetensors").write_bytes(dumps(record))
    done = janus("generate", "b.safetensors", "-o", "out.safetensors")
    assert (
        done.code == 1
        and "metadata segments[0].tokenizer: expected str, found [1]" in done.err
        and no_traceback(done)
    )


def test_days_of_sound_are_refused(janus):
    done = janus("speak", "a", "--seconds", "1e308")
    assert done.code == 2 and "a day at most" in done.err and no_traceback(done)


def test_every_component_can_be_verified():

    from janus_cli import zoo
    from janus_cli.nets.build import build

    model = zoo.find(str(ROOT / "models" / "pocket-any"))
    for component in ("dvae", "vision", "decoder", "refiner"):
        assert sum(p.numel() for p in build(component, getattr(model.config, component)).parameters())
