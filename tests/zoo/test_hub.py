"""Models of the hub: found in a cache made by hand, pulled from a server on this machine, checked."""

import json
from pathlib import Path

import pytest
import torch
from helpers.hubs import COMMIT, NAME, digest, serve, write_cache
from helpers.runs import no_traceback
from safetensors.torch import save

from bench.make_checkpoint import make
from janus_cli import zoo
from janus_cli.errors import ModelError
from janus_cli.zoo import hub

CONFIG = json.dumps({"model_type": "multi_modality"}).encode()


TENSORS = {"language_model.a": torch.ones(40, 1000), "gen_head.b": torch.ones(5, dtype=torch.bfloat16)}


@pytest.fixture
def files(tiny_model):
    return {
        "config.json": CONFIG,
        "tokenizer.json": (tiny_model / "tokenizer.json").read_bytes(),
        "model.safetensors": save(TENSORS),
        "README.md": b"card",
        "teaser.png": b"x",
    }


@pytest.fixture
def cache(environment, monkeypatch):
    for word in ("HF_HOME", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(word, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(environment / "hub"))
    return environment / "hub"


def test_where_the_cache_is(monkeypatch):
    for word in ("HF_HOME", "HUGGINGFACE_HUB_CACHE", "HF_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(word, raising=False)
    assert hub.find_cache_folder() == Path("~/.cache/huggingface/hub").expanduser()
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    assert hub.find_cache_folder() == Path("/c/huggingface/hub")
    monkeypatch.setenv("HF_HOME", "/h")
    assert hub.find_cache_folder() == Path("/h/hub")
    monkeypatch.setenv("HF_HUB_CACHE", "/x")
    assert hub.find_cache_folder() == Path("/x")


def test_names_resolve_from_the_cache(cache, files):
    folder = write_cache(cache, files)
    assert zoo.locate(NAME) == zoo.Place(NAME, folder)
    assert zoo.locate(f"{NAME}@{COMMIT}").path == folder
    assert [p.name for p in zoo.list_places()][-1] == NAME
    with pytest.raises(ModelError, match=r"janus models pull a/b fetches it"):
        zoo.locate("a/b")


def test_a_revision_has_its_own_name(cache, files):
    write_cache(cache, files, ref="v2")
    assert [name for name, _ in hub.list_snapshots()] == [f"{NAME}@v2"]
    assert hub.find_snapshot(f"{NAME}@v2") and hub.find_snapshot(NAME) is None


def test_other_models_of_the_cache_are_passed_over(cache, files):
    write_cache(cache, files | {"config.json": b'{"model_type": "llama"}'})
    assert not list(hub.list_snapshots())


def test_a_folder_of_another_kind_hides_no_model(janus, cache, environment, monkeypatch):
    for name, config in (("llama", '{"model_type": "llama"}'), ("broken", "{")):
        (environment / "own" / name).mkdir(parents=True)
        (environment / "own" / name / "config.json").write_text(config)
    monkeypatch.setenv("JANUS_MODELS", str(environment / "own"))
    done = janus("models", "list")
    assert done.code == 3 and no_traceback(done) and "pocket" in done.text
    assert "model_type 'llama' is no Janus-Pro checkpoint" in done.err and "broken/config.json" in done.err
    done = janus("models", "import", "llama")
    assert done.code == 1 and "model_type 'llama' is no Janus-Pro checkpoint" in done.err


def test_list_and_show(janus, cache, files):
    folder = write_cache(cache, files)
    listed = [json.loads(line) for line in janus("models", "list", "--json").text.splitlines()]
    shown = json.loads(janus("models", "show", NAME, "--json").text)
    assert shown == listed[-1] and shown["parameters"] == 40_005 and shown["missing"] == []
    assert shown["components"]["gen_head"] == {"parameters": 5, "bytes": 10, "dtype": "BF16"}
    assert digest(files["model.safetensors"], True) in janus("models", "show", NAME).text
    assert janus("info", str(folder)).text.splitlines()[1:] == janus("info", NAME).text.splitlines()[1:]


@pytest.fixture
def whole(tmp_path):
    """The files of a checkpoint that loads."""
    return {p.name: p.read_bytes() for p in make(tmp_path / "whole", layout="transformers").iterdir()}


def test_verify_says_a_line_for_each_thing_checked(janus, cache, whole):
    write_cache(cache, whole)
    done = janus("models", "verify", NAME)
    assert done.code == 0 and not done.err
    lines = [line.removeprefix(f"{NAME} ") for line in done.text.splitlines()]
    assert len(lines) == 4 and lines[0].startswith(f"files: ok, {len(whole)} files")
    assert " as config.json asks, " in lines[1] and lines[1].endswith("parameters, F32")
    assert lines[3] == f"digests: ok, {len(whole)} files are the hub's"


def test_verify_names_what_is_damaged_or_missing(janus, cache, whole):
    folder = write_cache(cache, whole | {"README.md": b"card"})
    for name in ("model.safetensors", "generation_config.json"):
        blob = (folder / name).resolve()
        blob.write_bytes(blob.read_bytes()[:-1] + b"\1")
    (folder / "README.md").unlink()
    done = janus("models", "verify", NAME)
    assert done.code == 3 and no_traceback(done)
    assert "lacks README.md: janus models pull" in done.err
    assert f"delete {blob} and pull" in done.err and "model.safetensors: its sha256 is" in done.err
    (folder / "model.safetensors").unlink()
    assert "(incomplete)" in janus("models", "list").text
    facts = [json.loads(line) for line in janus("models", "verify", NAME, "--json").text.splitlines()]
    assert [f["check"] for f in facts if not f["ok"]] == ["files", "tensors", "digests"]
    assert "holds no weights" in janus("models", "show", NAME).text


def test_pull_fetches_what_is_needed_and_goes_on(shell, cache, files):
    files |= {"pytorch_model.bin": b"not wanted", "model.safetensors": save({"c": torch.ones(500_000)})}
    with serve(files) as server:
        env = {"HF_ENDPOINT": server.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "5"}
        server.cut = 1_000_000
        done = shell(f"janus models pull {NAME}", env=env)
        assert done.code == 0, done.err
        folder = Path(done.text.strip())
        assert sorted(p.name for p in folder.iterdir()) == [
            "README.md",
            "config.json",
            "model.safetensors",
            "tokenizer.json",
        ]
        assert (folder / "model.safetensors").read_bytes() == files["model.safetensors"]
        models = [name for name in server.asked if "model" in name]
        assert models == ["model.safetensors@0", "model.safetensors@1000000"]  # the rest after the cut
        asked = len(server.asked)
        (folder / "config.json").resolve().unlink()
        (folder / "config.json").unlink()
        assert shell(f"janus models pull {NAME}", env=env).text == done.text
        assert server.asked[asked:] == ["config.json@0"]


@pytest.mark.parametrize("revision", ["v2", COMMIT])
def test_pull_a_revision(shell, cache, files, revision):
    with serve(files) as server:
        done = shell(
            f"janus models pull {NAME} --revision {revision}",
            env={"HF_ENDPOINT": server.url, "HF_HUB_DISABLE_XET": "1"},
        )
        assert done.code == 0 and f"use it with --model {NAME}@{revision}" in done.err, done.err
    assert zoo.locate(f"{NAME}@{revision}").path == Path(done.text.strip())
    assert [name for name, _ in hub.list_snapshots()] == [f"{NAME}@{revision}"]
    with pytest.raises(ModelError, match=f"janus models pull {NAME} fetches it"):  # main is not here
        zoo.locate(NAME)


@pytest.mark.slow
def test_what_the_hub_has_not(shell, cache, files):
    with serve(files) as server:
        env = {"HF_ENDPOINT": server.url}
        done = shell("janus models pull a/b", env=env)
        assert done.err == "janus: a/b: not on the hub, or private: see hf auth login\n"
        done = shell(f"janus models pull {NAME} --revision none", env=env)
        assert done.err == f"janus: {NAME}: the hub has no revision 'none' of it\n" and done.code == 1
    done = shell(f"janus models pull {NAME}", env=env)  # nobody answers any more
    assert done.code == 1 and "not pulled (" in done.err and no_traceback(done)


@pytest.mark.slow
def test_offline(shell, cache, files):
    env = {"HF_HUB_OFFLINE": "1"}
    done = shell(f"janus models pull {NAME}", env=env)
    assert done.code == 1 and "HF_HUB_OFFLINE is set: pull it without" in done.err and no_traceback(done)
    folder = write_cache(cache, files)
    assert shell(f"janus models pull {NAME}", env=env).text == f"{folder}\n"
    (folder / "model.safetensors").unlink()
    assert "model.safetensors is not here yet" in shell(f"janus models pull {NAME}", env=env).err
    assert "expected ORG/NAME" in shell("janus models pull pocket", env=env).err
