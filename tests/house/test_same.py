"""The comparison of two checkouts: it reads the README, finds what is the same, and what is not."""

import pytest
from helpers.runs import ROOT

from bench import same


def test_the_readme_has_commands_that_need_nothing():
    lines = same.list_commands(ROOT / "README.md")
    assert 'janus draw "a red apple"' in lines and len(lines) > 12
    assert not [line for line in lines if "#" in line or "pull" in line]


@pytest.mark.slow
def test_a_checkout_does_what_it_does_and_another_program_does_not(environment):
    lines = ['janus draw "a red apple"', "janus info a-red-apple.png --json", "janus nonsense"]
    assert same.compare(lines, ROOT, ROOT) == []
    other = environment / "other" / "janus_cli"
    other.mkdir(parents=True)
    (other / "__init__.py").touch()
    (other / "__main__.py").write_text("print('something else')\n")
    found = same.compare(lines, ROOT, other.parent)
    assert [line.rpartition(": ")[2] for line in found] == ["out, err, files", "out", "code, out, err"]
