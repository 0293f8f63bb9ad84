"""Fixtures of the tests of training: what sequences of every direction are learned from."""

from collections.abc import Callable
from functools import partial

import pytest
from helpers.materials import make_objective, materials

from janus_cli.training.objectives.joint import JointObjective, Materials


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Materials:
    """Tiny materials of every kind; nobody changes them."""
    return materials(tmp_path_factory.mktemp("words"))


@pytest.fixture
def make(shared: Materials) -> Callable[..., JointObjective]:
    """An objective of directions and options."""
    return partial(make_objective, shared)
