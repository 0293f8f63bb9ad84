"""Fixtures of the tests of stages: toy nets."""

import pytest
from helpers.refiners import make_dvae, make_refiner

from janus_cli.nets.dvae import DVAE
from janus_cli.nets.refiner import Refiner


@pytest.fixture(scope="module")
def dvae() -> DVAE:
    """An image tokenizer of 32 codes."""
    return make_dvae()


@pytest.fixture(scope="module")
def refiner() -> Refiner:
    """A refiner of those codes whose heads do something."""
    return make_refiner()
