"""transformers for the parity tests."""

import sys

import pytest

from bench.peers import stand_in


@pytest.fixture(scope="package")
def transformers():
    """The library, also beside a torchaudio that cannot be loaded."""
    with pytest.MonkeyPatch.context() as patch:
        for name, module in stand_in().items():
            patch.setitem(sys.modules, name, module)
        yield pytest.importorskip("transformers")
