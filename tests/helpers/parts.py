"""Progressive parts made by hand from whole records, in the order in which streaming stages make them."""

from collections.abc import Iterator

from janus_cli.pipeline import Pipeline, Sampling
from janus_cli.records import Part, Record, Segment


def part_of(record: Record, modality: str, index: int, rows: tuple[int, int]) -> Record:
    """`record` with just its rows of `modality`; with all of them as its last part."""
    segment = record.find(modality)
    assert segment is not None
    last = rows[0] == 0 and rows[1] == len(segment.data)
    kept = Segment(modality, segment.data[rows[0] : rows[1]], segment.info)
    return Record((kept,), record.id, record.made_by, Part(index, last, rows))


def parts_of(whole: dict[str, Record]) -> Iterator[tuple[str, Record]]:
    """(stage, part) of one picture: `whole` has what each stage made of it. Each stage is a row behind."""
    modality = {"generate": "image", "denoise": "pixels", "upsample": "pixels"}
    rows = len(whole["generate"].segments[-1].data)
    for now in range(rows + len(whole)):
        for behind, (stage, record) in enumerate(whole.items()):
            row = now - behind
            if 0 <= row < rows:
                yield stage, part_of(record, modality[stage], row, (row, row + 1))
            elif row == rows:
                yield stage, part_of(record, modality[stage], row, (0, rows))


def stages_of(pipeline: Pipeline, prompt: str, sampling: Sampling = Sampling()) -> dict[str, Record]:
    """What each stage makes of `prompt`."""
    [image] = pipeline.plan_picture(sampling).run([pipeline.tokenize(prompt, "0")])
    [sharp] = pipeline.refining.denoise([image])
    [large] = pipeline.refining.upsample([sharp])
    return {"generate": image, "denoise": sharp, "upsample": large}
