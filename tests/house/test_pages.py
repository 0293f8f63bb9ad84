"""Documentation that runs: every command line of the pages and of the help, as it stands there.

A page's lines run one after another in a folder that holds what they read. A line that can't be run here is
in INSTEAD, with the reason and with what is looked at in its place.
"""

import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pytest
import soundfile
import torch
from helpers import enlargers, hubs, pages
from helpers.pages import Command
from helpers.runs import ROOT, Done
from helpers.sounds import publish_encodec
from helpers.warm import WarmShell
from PIL import Image

from bench.make_checkpoint import make, publish
from janus_cli.nets.codec import Codec
from janus_cli.weights import remap
from janus_cli.zoo import encodec

# Pages with blocks that another test runs as a whole.
ELSEWHERE = {
    "docs/modality-plugin.md": "tests/plugins/test_modality_page.py",
    "docs/python.md": "tests/pipeline/test_python_page.py",
}
# Pages whose indented blocks show no commands.
NO_COMMANDS = {
    "docs/patch-denoise.md": "formulas",
    "docs/token-format.md": "what errors look like",
}
# Lines that work on the shipped models, which are quick at that; all others on tiny ones of the same layout.
SHIPPED = re.compile(r"pocket-any|--words|janus (describe|speak|transcribe) (?!.*janus-pro)")
NOBODY = "http://127.0.0.1:9"  # no hub: `pull` alone uses the network
FILE = re.compile(r"(?<![\w.{])[\w/-][\w/.-]*\.(?:png|webp|safetensors|wav|flac)\b")


# ---- lines that are not run


def list_recipe(command: Command, shell: WarmShell) -> None:
    """The target is in the Makefile."""
    done = shell(command.text.replace("make ", "make -n ", 1), ROOT)
    assert done.code == 0 and done.out, f"{command}: {done.err}"


def check_extras(command: Command, shell: WarmShell) -> None:
    """The extras and files that it names are there."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = re.findall(r"(?:janus-cli|\.)\[([\w,]+)\]", command.text)
    assert named and set(named[0].split(",")) <= set(extras), command
    assert "-c " not in command.text or (ROOT / "constraints.txt").is_file()


def check_recipe(command: Command, shell: WarmShell) -> None:
    """The recipe is one; the line's options are checked below."""
    from janus_cli.training.recipe import read_recipe

    name = command.text.split()[2]
    if name == "my-recipe.toml":  # a copy of this one
        name = "models/pocket/recipe.toml"
    assert read_recipe(ROOT / name)


def check_bench(command: Command, shell: WarmShell) -> None:
    """Its --help has every option."""
    words = command.text.split()
    done = shell(" ".join([*words[:3], "--help"]), ROOT)
    known = set(re.findall(r"--[\w-]+", done.text))
    assert done.code == 0 and {word for word in words[3:] if word.startswith("--")} <= known, command


def check_options(command: Command, shell: WarmShell) -> None:
    """Its options are checked below, as every line's."""


@dataclass(frozen=True)
class Instead:
    """Lines that are not run, why not, and what is looked at in their place."""

    begins: str
    reason: str
    check: Callable[[Command, WarmShell], None]


INSTEAD = (
    Instead("make ", "sets up an environment from the network, or is this suite itself", list_recipe),
    Instead("pip install ", "the network", check_extras),
    Instead("janus train ", "hours; tests/training and tests/commands/test_training.py train", check_recipe),
    Instead("janus eval ", "minutes, and drawings from npm; tests/evaluation examines", check_options),
    Instead(r"python -m bench\.(?!make_checkpoint)", "minutes; benchmarks are never gated", check_bench),
    Instead("accelerate launch", "several devices", check_options),
    Instead("git show ", "the history, which an export lacks", check_options),
)


def find_instead(command: Command) -> Instead | None:
    """Find what is done instead of running a line."""
    fits = (entry for entry in INSTEAD if re.match(entry.begins, command.text))
    return None if command.page in ELSEWHERE or pages.is_mention(command) else next(fits, None)


# ---- what the lines read


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> dict[str, dict[str, bytes]]:
    """The hub's models that lines pull, in small."""
    pro = make(tmp_path_factory.mktemp("hub"), dtype="bf16")
    return {
        "deepseek-ai/Janus-Pro-1B": {file.name: file.read_bytes() for file in pro.iterdir()},
        "facebook/encodec_32khz": publish_encodec(tmp_path_factory.mktemp("encodec")),
    }


@contextmanager
def serve_pulled(command: Command, published: dict[str, dict[str, bytes]]) -> Iterator[dict[str, str]]:
    """Serve what a line pulls, while it does: the environment that says where. Else there is no hub."""
    name = next((name for name in published if f"pull {name}" in command.text), None)
    if name is None:
        yield {"HF_ENDPOINT": NOBODY}
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hubs, "NAME", name)
        with hubs.serve(published[name]) as hub:
            yield {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, warm_shell, zoo_folder) -> Path:
    """A folder with all that the pages' lines read and no line of theirs makes."""
    folder = tmp_path_factory.mktemp("inputs")
    for name in ("photo.jpg", "cat.png", "apple.png"):
        Image.fromarray(enlargers.picture(90, 120)).save(folder / name)
    for name in ("4x.safetensors", "4x.pth"):
        enlargers.save(enlargers.build("compact"), folder / name)
    _make_token_files(folder, warm_shell, zoo_folder)
    _make_sounds(folder, warm_shell)
    (folder / "runs" / "pocket-any").mkdir(parents=True)
    torch.save({"step": 1250}, folder / "runs" / "pocket-any" / "vision.pt")
    return folder


def _make_token_files(folder: Path, shell: WarmShell, zoo_folder: Path) -> None:
    """Write the tokens of a picture by the tiny model."""
    line = 'janus tokenize text "a red apple" | janus generate -o a.safetensors'
    done = shell(line, folder, {"JANUS_MODELS": str(zoo_folder)})
    assert done.code == 0, done.err
    for name in ("b", "apple"):
        shutil.copy(folder / "a.safetensors", folder / f"{name}.safetensors")


def _make_sounds(folder: Path, shell: WarmShell) -> None:
    """Say a word, under every name; put a published codec with random weights into torch's cache."""
    done = shell("janus speak rocket -o rocket.wav", folder)
    assert done.code == 0, done.err
    waveform, rate = soundfile.read(folder / "rocket.wav", dtype="float32")
    for name in ("say.wav", "what.wav", "speech.flac", "speech.mp3"):
        soundfile.write(folder / name, waveform, rate)
    if shutil.which("ffmpeg"):
        done = shell("ffmpeg -v error -i rocket.wav talk.mkv", folder)
        assert done.code == 0, done.err
    place = folder / "torch" / "hub" / "checkpoints" / encodec._FILES["encodec_24khz"]
    place.parent.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(
        publish(Codec(encodec._CODECS["encodec_24khz"]).state_dict(), "encodec", remap.NORMS[0]), place
    )


# ---- the tests


ALL = {pages.name_page(page): pages.list_commands(page) for page in pages.list_pages()}
HELP = pages.list_help()
COMMANDS = [command for found in (*ALL.values(), HELP) for command in found]
NOT_RUN = [(entry, command) for command in COMMANDS if (entry := find_instead(command))]
TO_RUN = {
    page: lines
    for page, found in {**ALL, "janus --help": HELP}.items()
    if page not in ELSEWHERE
    and (lines := [line for line in found if not pages.is_mention(line) and not find_instead(line)])
}


def test_no_line_of_a_block_is_passed_over():
    for page in pages.list_pages():
        name, shown = pages.name_page(page), pages.list_shown(page)
        commands = [command for command in ALL[name] if not command.inline]
        if name in NO_COMMANDS:
            assert shown and not commands, f"{name} is no longer without commands"
        else:
            others = {number: line for number, (_, line) in shown.items() if not pages.BEGINS.match(line)}
            assert not others, f"{name} shows what is no command: {others}"
        for language, _, text in pages.find_fences(page):
            is_drawing = not language and not any(map(pages.BEGINS.match, text.splitlines()))
            assert name in ELSEWHERE or is_drawing or language == "sh", f"{name}: nothing runs this:\n{text}"


def test_what_is_not_run_is_still_there():
    for entry in INSTEAD:
        assert any(find_instead(command) is entry for command in COMMANDS), (
            f"no line begins so: {entry.begins}"
        )
    for page, test in ELSEWHERE.items():
        assert Path(page).name in (ROOT / test).read_text("utf-8")
        assert ALL[page] or pages.find_fences(ROOT / page)
    assert set(NO_COMMANDS) <= set(ALL)


def test_links_lead_somewhere():
    links = [(page, link) for page in pages.list_pages() for link in pages.find_links(page)]
    assert len(links) > 20
    assert not [
        f"{pages.name_page(page)}: {link}" for page, link in links if not (page.parent / link).exists()
    ]


def test_the_way_in_names_files_that_exist():
    files = [
        f"/{path.relative_to(ROOT)}"
        for room in ("janus_cli", "tests", "bench")
        for path in (ROOT / room).rglob("*.py")
    ]
    for page in ("docs/architecture.md", "CONTRIBUTING.md"):
        for name in re.findall(r"`([a-z_/]+\.py)`", (ROOT / page).read_text("utf-8")):
            assert any(file.endswith(f"/{name}") for file in files), f"{page}: {name}"


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_every_verb_and_option_exists(command):
    for words in pages.split_stages(pages.PLACEHOLDER.sub("1", command.text)):
        if words[0] == "janus" and "dna" not in words:  # a plugin of the page's own
            pages.check_words(words[1:])


@pytest.mark.slow
def test_lines_that_are_not_run_are_looked_at(warm_shell):
    for entry, command in NOT_RUN:
        entry.check(command, warm_shell)


@pytest.mark.slow
@pytest.mark.parametrize("page", TO_RUN)
def test_a_page_as_written(page, warm_shell, published, inputs, zoo_folder, tmp_path):
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    common = {"HF_HUB_CACHE": str(tmp_path / "hub"), "TORCH_HOME": str(tmp_path / "torch")}
    for _, block in groupby(TO_RUN[page], key=lambda command: (command.page, command.block)):
        lines = list(block)
        shipped = any(SHIPPED.search(command.text) for command in lines)
        common["JANUS_MODELS"] = "" if shipped else str(zoo_folder)
        # what an earlier block left under the same name: a reader would choose another
        for name in {name for command in lines for name in find_outputs(command)}:
            (tmp_path / name).unlink(missing_ok=True)
        for command in lines:
            if "ffmpeg" not in command.text or shutil.which("ffmpeg"):
                before = set(tmp_path.rglob("*"))
                with serve_pulled(command, published) as hub:
                    done = warm_shell(command.text, tmp_path, {**common, **hub})
                check(command, done, tmp_path, set(tmp_path.rglob("*")) - before)


def find_outputs(command: Command) -> list[str]:
    """Find the files that a line says it writes; what has fields to fill in, or is a folder, is left out."""
    named = re.findall(r"(?:-o|>) (\S+)", command.text)
    return [name for name in named if "{" not in name and not name.endswith("/")]


def check(command: Command, done: Done, folder: Path, new: set[Path]) -> None:
    """The line ended well; it answers what it asks, and what it says it writes is there, and as many."""
    assert done.code == 0 and "Traceback" not in done.err, f"{command}\n{done.err}"
    for name in [*find_outputs(command), *FILE.findall(command.comment)]:
        assert (folder / name).exists(), f"{command}\nthere is no {name}"
    last = pages.split_stages(command.text)[-1]
    if last[:2] == ["janus", "draw"]:
        number = int(last[last.index("-n") + 1]) if "-n" in last else 1
        pictures = [path for path in new if path.suffix == ".png" and path.parent.name != "states"]
        assert len(pictures) >= number, f"{command}\n{len(pictures)} new pictures"
    if last[0] == "janus" and last[1] in ("describe", "transcribe", "info", "models", "--help"):
        assert done.text.strip(), f"{command}\nno answer"
