"""Fixtures of the tests of the exam: the drawings of the hand-made pack."""

import numpy as np
import pytest
from helpers.packs import three_concepts

from janus_cli.dataset.pictures import Sprites, list_drawings, list_svgs, render


@pytest.fixture(scope="session")
def sprites() -> Sprites:
    """What `three_concepts` draws."""
    pack = three_concepts()
    drawn = [render(pack[c].drawings[style]) for c, style in list_drawings(pack)]
    return Sprites(np.stack(drawn), list_svgs(pack))
