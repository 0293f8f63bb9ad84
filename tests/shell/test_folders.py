"""Folders among the arguments: what is found in them, links in circles, what cannot be listed."""

import os
from pathlib import Path

import pytest

from janus_cli.errors import UsageError
from janus_cli.shell import folders
from janus_cli.shell.failures import Failures
from janus_cli.shell.folders import Input, expand


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def find(*names: str, failures: Failures | None = None) -> list[str]:
    found = expand(names, (".png",), "pictures", failures or Failures())
    return [item.name for item in found]


def test_files_come_in_the_order_of_their_paths(place, capsys):
    touch("in/b.png", "in/a.PNG", "in/a/z.png", "in/c/d/e.png", "x.png")
    assert find("x.png", "in", "-", "none.png") == [
        "x.png",
        "in/a.PNG",
        "in/a/z.png",
        "in/b.png",
        "in/c/d/e.png",
        "-",
        "none.png",
    ]
    assert capsys.readouterr().err == ""


def test_where_an_input_comes_from():
    for item, source, id in (
        (Input("-"), "", "stdin"),
        (Input("/far/away/a.b.png"), "a.b.png", "a.b"),
        (Input("../up.png"), "up.png", "up"),
        (Input("in/sub/a.png", "sub/a.png"), "sub/a.png", "sub/a"),
        (
            Input(os.fsdecode(b"in/a\xff.png"), os.fsdecode(b"s\xff/a\xff.png")),
            "s\ufffd/a\ufffd.png",
            "s\ufffd/a\ufffd",
        ),
    ):
        assert (item.source, item.id) == (source, id)


def test_links_are_followed_once(place, capsys):
    touch("in/sub/a.png", "out/b.png", "out/deep/c.png")
    Path("in/circle").symlink_to("..")
    Path("in/sub/up").symlink_to("../..", target_is_directory=True)
    Path("in/again").symlink_to("sub")
    Path("in/linked").symlink_to("../out")
    Path("in/file.png").symlink_to("../out/b.png")
    Path("in/broken.png").symlink_to("nowhere")
    Path("in/self.png").symlink_to("self.png")
    os.mkfifo("in/pipe.png")
    found = find("in")
    assert sorted({Path(name).name for name in found}) == ["a.png", "b.png", "c.png", "file.png"]
    assert len([name for name in found if name.endswith(("a.png", "c.png"))]) == 2
    assert "in/sub/a.png" in found  # and not by way of a link
    said = capsys.readouterr().err
    assert "2 broken links" in said and "1 special file" in said and "read already" in said


def test_two_folders_that_are_linked_are_read_once(place, capsys):
    touch("in/z/a.png")
    Path("in/b").symlink_to("z")
    Path("in/c").symlink_to("z")
    assert find("in") == ["in/z/a.png"]
    assert "in: left out: 2 linked folders that are read already" in capsys.readouterr().err
    assert find("in/b", "in/z") == ["in/b/a.png", "in/z/a.png"]  # both were asked for


def test_what_is_hidden_is_passed_over_unless_it_is_asked_for(place, capsys):
    touch("in/.git/a.png", "in/._a.png", "in/a.png", ".b/c.png")
    assert find("in") == ["in/a.png"]
    assert "in: left out: 2 hidden files or folders\n" in capsys.readouterr().err
    assert find(".b") == [".b/c.png"] and find(".") == ["in/a.png"]


def test_many_kinds_are_left_out_in_one_line(place, capsys):
    touch("in/a.png", *(f"in/x{i}.k{i:02}" for i in range(12)), "in/y.k03")
    find("in")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "in: left out: 13 files that are no pictures (.k03 2, .k00 1, " in said and said.endswith(
        ", ...)\n"
    )


def test_a_folder_that_holds_none_says_what_it_holds(place, capsys):
    touch("in/a.txt")
    with pytest.raises(UsageError, match="in: holds no file ending in .png"):
        find("in")
    assert "1 file that is no picture (.txt 1)" in capsys.readouterr().err


def test_a_folder_that_cannot_be_listed_is_a_failure(place, monkeypatch, capsys):
    touch("in/a.png", "in/locked/b.png")
    listed = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(folders.os, "scandir", refuse)
    failures = Failures()
    assert find("in", failures=failures) == ["in/a.png"]
    assert failures.count == 1 and "in/locked: Permission denied" in capsys.readouterr().err
