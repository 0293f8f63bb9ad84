"""What hypothesis may fill records with."""

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from janus_cli.records.metadata import _Info, _Step

settings.register_profile(
    "records", deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("records")

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
TYPED = {*_Info.__struct_fields__, *_Step.__struct_fields__}
# keys that have a type are in test_metadata.py: anything may be behind the others
INFO = st.dictionaries(TEXT.filter(lambda key: key not in TYPED), JSON, max_size=3)
SIDE = st.integers(1, 5)


def array(modality: str) -> st.SearchStrategy[np.ndarray]:
    """An array that a segment of `modality` may hold."""
    if modality == "pixels":
        shape = st.tuples(SIDE, SIDE, SIDE).map(lambda s: (s[0], s[1], s[2], s[2], 3))
        return hnp.arrays(np.uint8, shape)
    if modality == "series":
        return hnp.arrays(np.float32, st.tuples(SIDE, SIDE), elements=st.floats(-2, 2, width=32))
    if modality == "waveform":
        shape = st.tuples(SIDE, st.integers(0, 9))
        return hnp.arrays(np.float32, shape, elements=st.floats(-2, 2, width=32))
    shape = {
        "text": st.tuples(st.integers(0, 9)),
        "image": st.tuples(SIDE, SIDE),
        "audio": st.tuples(SIDE, st.integers(0, 9)),
    }[modality]
    return st.sampled_from([np.uint16, np.uint32]).flatmap(lambda dtype: hnp.arrays(dtype, shape))
