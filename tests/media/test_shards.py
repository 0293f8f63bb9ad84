"""Tars: every byte of them is accounted for."""

import io
import os
import tarfile

import numpy as np
import pytest
from helpers.runs import no_traceback

from janus_cli.errors import RecordError
from janus_cli.media.shards import MAX_NAMES, read_members
from janus_cli.records import Record, Segment, dumps

BLOCK = 512


def record(i: int) -> bytes:
    return dumps(Record((Segment("text", np.array([i], np.uint16)),), str(i)))


def member(name: str, data: bytes = b"", **words) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for word, value in words.items():
        setattr(info, word, value)
    return info, data


def tar(*members, form: int = tarfile.GNU_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as made:
        for info, data in members:
            made.addfile(info, io.BytesIO(data))
    return file.getvalue()


FOUR = tar(*(member(f"{i}.safetensors", record(i)) for i in range(4)))
FIRST = FOUR.index(b"1.safetensors")  # where the second header begins


def read(data: bytes) -> list[str]:
    """The names of the members, each read to its end."""
    return [found.name for found in read_members(io.BytesIO(data), "a.tar") if (found.read(1 << 20), 1)]


def test_all_forms_are_read_to_their_end():
    long = "ü" * 100 + "/x.safetensors"
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        made = tar(member("folder", type=tarfile.DIRTYPE), member(long, record(0)), member("b"), form=form)
        assert read(made) == [long, "b"]
    assert read(tar()) == []


def test_joined_tars_are_one():
    assert read(FOUR + FOUR) == 2 * [f"{i}.safetensors" for i in range(4)]


def flip(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (flip(FOUR, FIRST), "after member 0.safetensors: no header of a member (bad checksum)"),
        (flip(FOUR, 0), "at its start: no header of a member (bad checksum)"),
        (FOUR[: 2 * FIRST], "after member 1.safetensors: the file ends, but no tar does: cut short?"),
        (FOUR[: FIRST + 300], "after member 0.safetensors: no header of a member (truncated header)"),
        (FOUR[:FIRST] + b"garbage!" * 64 + FOUR[FIRST:], "after member 0.safetensors: no header of a member"),
        (FOUR + b"\1" * BLOCK, "after member 3.safetensors: no header of a member"),
        (b"", "at its start: empty file"),
        (b"GIF89a" * 100, "at its start: no header of a member"),
        (tar(member("a\nb", b"x")), "too long or holds control characters"),
    ],
)
def test_a_tar_that_is_no_whole_one_says_where(data, says):
    with pytest.raises(RecordError) as error:
        read(data)
    assert str(error.value).startswith("a.tar: not a whole tar file: ") and says in str(error.value)


def test_a_tar_cut_inside_a_member_that_is_passed_over():
    with pytest.raises(RecordError, match="after member a.jpg: unexpected end of data"):
        list(read_members(io.BytesIO(tar(member("a.jpg", b"x" * 5000))[: 4 * BLOCK]), "a.tar"))


def test_hostile_sizes_take_no_memory():
    """Names and pax keywords are read at once, by tarfile; so their size is capped before."""
    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
        info, _ = member("x", type=kind)
        info.size = MAX_NAMES + 1
        with pytest.raises(RecordError, match="bytes of a member's name"):
            read(info.tobuf(tarfile.GNU_FORMAT) + FOUR)
    info = tarfile.TarInfo("x")
    info.size = -1
    with pytest.raises(RecordError, match="not a whole tar file"):
        read(info.tobuf(tarfile.GNU_FORMAT) + FOUR)


def test_headers_that_mislead_python():
    """Names of names without end; pax sizes that are none or point back; sparse maps that are no numbers."""
    longs = member("x" * 8, b"y" * 8, type=tarfile.GNUTYPE_LONGNAME)
    with pytest.raises(RecordError, match="not a whole tar file"):
        read(tar(*[longs] * 3000))
    for words in (
        {"size": "-1024"},
        {"GNU.sparse.map": "a,b"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
    ):
        info, data = member("a", b"\0" * 600)
        info.pax_headers = words
        with pytest.raises(RecordError):
            read(tar((info, data), member("b", b"x"), form=tarfile.PAX_FORMAT)[: 10 * BLOCK])


def test_records_before_the_fault_are_there_and_the_fault_is_said(janus, environment):
    (environment / "a.tar").write_bytes(flip(FOUR, FIRST * 2))
    done = janus("info", "a.tar")
    assert done.code == 1 and no_traceback(done)
    assert "record 0" in done.text and "record 1" in done.text and "record 2" not in done.text
    assert done.err.splitlines() == [
        "janus: a.tar: not a whole tar file: after member 1.safetensors: no header of a member (bad checksum)"
    ]


def test_a_record_that_is_cut_with_its_tar(janus, environment):
    (environment / "a.tar").write_bytes(FOUR[: FIRST + BLOCK + 40])
    done = janus("info", "a.tar")
    assert done.code == 1 and "a.tar:1.safetensors: the tar file ends inside this member" in done.err


def test_other_members_are_counted(janus, environment):
    others = [member("a.jpg", b"x"), member("l", type=tarfile.SYMTYPE, linkname="/etc/passwd")]
    others += [member("d.safetensors", type=tarfile.CHRTYPE), member("folder", type=tarfile.DIRTYPE)]
    (environment / "a.tar").write_bytes(tar(member("0.safetensors", record(0)), *others))
    done = janus("info", "a.tar")
    assert done.code == 0 and done.text.count("record 0") == 1
    assert done.err == "janus: a.tar: members passed over that are no .safetensors files: 3 (such as a.jpg)\n"
    (environment / "b.tar").write_bytes(tar(*others))
    done = janus("info", "b.tar")
    assert done.code == 1 and "holds no records" in done.err


def test_a_fault_in_one_of_many_files(janus, environment):
    (environment / "a.tar").write_bytes(FOUR[: 2 * FIRST])
    (environment / "b.tar").write_bytes(FOUR)
    done = janus("info", "a.tar", "b.tar")
    assert done.code == 3 and done.text.count("a.tar:") == 2 and done.text.count("b.tar:") == 4
    assert os.linesep.join(done.err.splitlines()[:1]).endswith("the file ends, but no tar does: cut short?")
