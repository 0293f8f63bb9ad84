"""Token records and their streams, as docs/token-format.md says. Bytes and numpy; no torch, no model."""

from janus_cli.records.record import FORMAT as FORMAT
from janus_cli.records.record import MODALITIES as MODALITIES
from janus_cli.records.record import Part as Part
from janus_cli.records.record import Record as Record
from janus_cli.records.record import Segment as Segment
from janus_cli.records.record import StreamWriter as StreamWriter
from janus_cli.records.record import check_ids as check_ids
from janus_cli.records.record import dumps as dumps
from janus_cli.records.record import ids_dtype as ids_dtype
from janus_cli.records.record import loads as loads
from janus_cli.records.record import read_stream as read_stream
from janus_cli.records.record import to_ids as to_ids
