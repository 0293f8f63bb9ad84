"""The README's section on Janus-Pro, line by line, with random weights in place of the hub's."""

import re

import pytest
from helpers.hubs import NAME, serve
from helpers.runs import ROOT
from PIL import Image

from bench.make_checkpoint import make

SECTION = re.compile(r"^## Janus-Pro$(.*?)^## ", re.MULTILINE | re.DOTALL)
PUBLISHED = "deepseek-ai/Janus-Pro-1B"


def commands() -> list[str]:
    """The section's commands."""
    [section] = SECTION.findall((ROOT / "README.md").read_text("utf-8"))
    return [line.strip() for line in section.splitlines() if line.startswith("    ")]


@pytest.mark.slow
def test_the_section_as_written(shell, environment, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(environment / "hub"))
    Image.new("RGB", (40, 30), "red").save("photo.jpg")
    made = make(environment / "made", dtype="bf16")
    pull, *rest = commands()
    assert pull.startswith(f"janus models pull {PUBLISHED}")
    with serve({file.name: file.read_bytes() for file in made.iterdir()}) as server:
        done = shell(
            pull.replace(PUBLISHED, NAME), env={"HF_ENDPOINT": server.url, "HF_HUB_DISABLE_XET": "1"}
        )
        assert done.code == 0, done.err
    words = [tuple(line.split()[:3]) for line in rest]
    assert {word for _, *two in words for word in two} >= {"import", "verify", "draw", "describe"}
    for line in rest:  # nobody serves any more
        done = shell(line.replace(PUBLISHED, NAME))
        assert done.code == 0, f"{line}: {done.err}"
    assert done.text.strip()
    assert len(list(environment.glob("a-red-apple*.png"))) == 4
    assert (environment / "janus-pro-1b" / "model.safetensors").is_file()
