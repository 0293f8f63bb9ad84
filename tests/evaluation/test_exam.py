"""The evaluation: its lists, its measures, and one whole run on a tiny random model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.packs import three_concepts, write_pack
from helpers.runs import ROOT
from PIL import Image

from janus_cli import zoo
from janus_cli.dataset import heldout
from janus_cli.dataset.labels import Labels, make_judge_config, write_labels
from janus_cli.dataset.pack import Concept
from janus_cli.dataset.pictures import Sprites
from janus_cli.errors import JanusError, ModelError, UsageError
from janus_cli.evaluation.exam import evaluate, render_table
from janus_cli.evaluation.judge import Examiner
from janus_cli.evaluation.lists import SceneEntry, make_lists, read_everyday, read_lists, write_lists
from janus_cli.evaluation.measures import measure_psnr, measure_ssim, measure_usage, resize
from janus_cli.evaluation.scenes import (
    crop_cells,
    has_background,
    is_placed,
    list_concepts,
    paint_scenes,
    score_scenes,
)
from janus_cli.evaluation.sheets import COLUMNS, lay_out_sheet, list_strips
from janus_cli.evaluation.tables import END, START, update_card
from janus_cli.evaluation.wishes import read_wishes
from janus_cli.nets.judge import Judge

POCKET = ROOT / "models" / "pocket"


# ---- lists


def test_the_lists_are_fixed_and_survive_their_file(tmp_path: Path) -> None:
    pack, path = write_pack(tmp_path / "pack.json.xz", three_concepts()), tmp_path / "heldout.json"
    lists = write_lists(pack, path)
    assert lists == make_lists(three_concepts()) == read_lists(path)
    assert lists.pairs == (("bear", "twemoji"),)
    assert not set(lists.trained) & set(lists.pairs)
    couples = {entry.concepts for entry in lists.scenes if entry.kind == "couple"}
    assert couples == {("bear", "duck"), ("duck", "bear")}
    assert [len(part) for part in (lists.limit(2).plain, lists.limit(2).scenes)] == [2, 2]


def test_the_shipped_lists_hold_out_what_training_holds_out() -> None:
    lists = read_lists(POCKET / "heldout.json")
    styles = dict.fromkeys(("fluent", "noto", "twemoji"), "")
    drawn = [Concept(name, 3, {}, {}, styles) for name, _ in lists.pairs]
    assert set(lists.pairs) == heldout.find_pairs(drawn)
    others = [Concept(name, 3, {}, {}, styles) for name, _ in lists.trained]
    assert not set(lists.trained) & heldout.find_pairs(others)
    assert len(lists.trained) == len(lists.pairs) > 100
    assert len(lists.scenes) == 120
    assert all(heldout.is_couple(*e.concepts) for e in lists.scenes if e.kind == "couple")


def test_scenes_are_asked_for_in_words() -> None:
    assert SceneEntry("couple", ("bear", "duck"), "above", "").prompt == "a bear above a duck"
    assert SceneEntry("count", ("duck",), "3", "blue").prompt == "three ducks on a blue background"
    assert SceneEntry("background", ("apple",), "", "pink").prompt == "apple on a pink background"


def test_a_file_without_lists_is_named(tmp_path: Path) -> None:
    (tmp_path / "heldout.json").write_text('{"pairs": [["a"]]}')
    with pytest.raises(JanusError, match=r"heldout\.json: no readable evaluation lists"):
        read_lists(tmp_path / "heldout.json")


# ---- measures

ENTRIES = (
    SceneEntry("couple", ("bear", "duck"), "left of", ""),
    SceneEntry("count", ("duck",), "3", "blue"),
    SceneEntry("position", ("apple",), "bottom right", ""),
    SceneEntry("background", ("apple",), "", "black"),
)


@pytest.fixture
def judge() -> Examiner:
    """A random judge of the hand-made pack: of three concepts each is in its top five."""
    torch.manual_seed(0)
    net = Judge(make_judge_config(three_concepts())).eval()
    return Examiner(net, Labels(("apple", "bear", "duck"), ("fluent", "noto", "twemoji")), "cpu")


def test_true_scenes_are_all_right(sprites: Sprites, judge: Examiner) -> None:
    for size in (64, 128):
        references = paint_scenes(ENTRIES, three_concepts(), sprites)
        table = score_scenes(
            paint_scenes(ENTRIES, three_concepts(), sprites, size), ENTRIES, references, judge
        )
        assert list(table) == ["couple", "count", "position", "background", "all"]
        assert table["all"] == {"n": 4, "concepts": 1, "placed": 1, "background": 1, "all": 1}


def test_a_wrong_scene_is_seen_to_be_wrong(sprites: Sprites) -> None:
    references = paint_scenes(ENTRIES, three_concepts(), sprites)
    for other in range(4):
        for i, entry in enumerate(ENTRIES):
            if entry.layout:
                assert is_placed(references[other], references[i], entry) == (i == other)
            same = ENTRIES[other].background == entry.background
            assert has_background(references[other], entry) == same
    missing = references[1].copy()
    missing[32:] = missing[0, 0]
    assert not is_placed(missing, references[1], ENTRIES[1]), "two of three"


def test_crops_are_the_cells_in_order(sprites: Sprites) -> None:
    pictures = paint_scenes(ENTRIES, three_concepts(), sprites, 128)
    cells = crop_cells(pictures, ENTRIES)
    assert cells.shape == (2 + 3 + 1 + 1, 64, 64, 3)
    names = [name for entry in ENTRIES for name in list_concepts(entry)]
    assert names == ["bear", "duck", "duck", "duck", "duck", "apple", "apple"]
    assert np.array_equal(cells[0], pictures[0, 32:96, :64])
    assert crop_cells(pictures[:, ::2, ::2], ENTRIES).shape == cells.shape


def test_ranks_count_the_preferred_concepts(judge: Examiner) -> None:
    logits = np.array([[3.0, 2.0, 1.0]] * 3)
    assert judge.rank(logits, ["apple", "bear", "duck"]).tolist() == [0, 1, 2]
    with pytest.raises(JanusError, match="the judge does not know 'fox'"):
        judge.rank(logits[:1], ["fox"])


def test_a_score_counts_concept_style_and_both(judge: Examiner, monkeypatch: pytest.MonkeyPatch) -> None:
    concept = np.array([[2.0, 1, 0], [0, 1, 2], [0, 2, 1], [1, 0, 2]])
    style = np.array([[2.0, 1, 0], [2, 1, 0], [0, 1, 2], [2, 1, 0]])
    monkeypatch.setattr(Examiner, "classify", lambda self, pictures: (concept, style))
    asked = [("apple", "fluent"), ("apple", "noto"), ("bear", "noto"), ("duck", "fluent")]
    score = judge.score(np.zeros((4, 8, 8, 3), np.uint8), asked)
    assert score == {"n": 4, "top1": 0.75, "top5": 1.0, "style": 0.5, "both": 0.5}


def test_known_answers() -> None:
    black, grey = np.zeros((2, 32, 32, 3), np.uint8), np.full((2, 32, 32, 3), 51, np.uint8)
    assert measure_psnr(black, grey) == pytest.approx(20 * np.log10(5), abs=1e-2)
    assert measure_ssim(grey, grey) == 1
    assert measure_usage(np.array([5, 0, 5, 0])) == (2, pytest.approx(2))
    assert [resize(grey, side).shape for side in (16, 64)] == [(2, 16, 16, 3), (2, 64, 64, 3)]
    assert (resize(grey, 64) == 51).all()


def test_ssim_says_how_to_get_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "skimage.metrics", None)
    with pytest.raises(JanusError, match=r"pip install 'janus-cli\[train\]'"):
        measure_ssim(np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 8, 8, 3), np.uint8))


# ---- the model card and the contact sheet


def test_the_table_goes_between_the_markers(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text(f"# pocket\n\n{START}\nold\n{END}\n\nLicence\n")
    update_card(card, "| new |")
    assert card.read_text() == f"# pocket\n\n{START}\n| new |\n{END}\n\nLicence\n"
    card.write_text("# pocket\n\ntext\n")
    update_card(card, "| new |")
    assert card.read_text() == f"# pocket\n\ntext\n\n{START}\n| new |\n{END}\n"
    card.write_text(f"{END}{START}")
    with pytest.raises(JanusError, match="has not both"):
        update_card(card, "| new |")


def test_the_sheet_shows_every_kind_without_foreign_letters() -> None:
    table = list_strips(make_lists(three_concepts()), three_concepts())
    titles = [title for title, _ in table]
    assert "held out: never seen in this style" in titles
    assert titles[-1] == "other languages"
    assert table[-1][1][0] == (f"de:{table[-1][1][0][1][4:]}", table[-1][1][0][1])
    more = list_strips(make_lists(three_concepts()), three_concepts(), read_wishes(POCKET / "wishes.json"))
    added = [strip for strip in more if strip not in table]
    assert [len(shown) for _, shown in added] == [COLUMNS] * 4
    assert added[1][1][0] == ("a photo of a dog",) * 2
    count = sum(len(shown) for _, shown in table)
    picture = lay_out_sheet(table, np.zeros((count, 64, 64, 3), np.uint8))
    assert picture.shape[1] == 10 + COLUMNS * 138
    assert (picture == 0).all(-1).sum() >= count * 128 * 128


# ---- the whole


@pytest.mark.slow
def test_an_evaluation_reports_draws_and_writes(zoo_of_two: Path, tmp_path: Path) -> None:
    told: list[str] = []
    report = evaluate(
        str(zoo_of_two / "pocket"),
        data=zoo_of_two / "data",
        limit=2,
        gallery=tmp_path / "gallery.png",
        progress=lambda label, done, total: told.append(label),
    )
    assert report == json.loads(json.dumps(report))
    assert [*dict.fromkeys(told)] == [
        "tokenizer",
        "trained",
        "heldout",
        "match",
        "en",
        "de",
        "es",
        "fr",
        "ja",
        "ko",
        "scenes",
        "refiner",
        "gallery",
    ]
    assert report["generator"]["heldout"]["n"] == 1
    assert report["names"]["en"]["literal"]["top5"] == 1, "of three concepts"
    assert 0 <= report["generator"]["match"]["tokens"] <= 1
    assert report["scenes"]["real"]["placed"] == 1
    assert report["refiner"]["64"]["psnr_x4"] > 0 and report["refiner"]["128"]["ssim_x4"] > 0
    assert Image.open(tmp_path / "gallery.png").width == 10 + COLUMNS * 138
    table = render_table(report)
    assert "| held-out pairs | 1 |" in table
    assert "only 2 questions of each kind" in table
    assert not (zoo_of_two / "pocket" / "README.md").exists()


def test_a_model_without_a_refiner_is_judged_on_what_it_decodes(zoo_of_two: Path, tmp_path: Path) -> None:
    model = _copy(zoo_of_two, tmp_path, refiner=None)
    report = evaluate(str(model), data=zoo_of_two / "data", limit=1)
    assert report["refiner"] is None and report["everyday"] is None and report["wishes"] is None
    assert "refiner" not in render_table(report)


def test_everyday_words_are_drawn_as_they_are_and_by_the_lexicon(zoo_of_two: Path, tmp_path: Path) -> None:
    model = _copy(zoo_of_two, tmp_path, refiner=None)
    asked = {
        "words": [["a grizzly", ["bear", "duck"]], ["a duck", ["duck"]]],
        "languages": {"de": [["Bär", ["bear"]]]},
    }
    (model / "everyday.json").write_text(json.dumps(asked), "utf-8")
    words = {"names": ["apple", "bear", "duck"], "words": {"grizzly": {"1": 1.0}}}
    (model / "lexicon.json").write_text(json.dumps({"en": words}), "utf-8")
    report = evaluate(str(model), data=zoo_of_two / "data", limit=1)
    assert [(key, part["lexicon"]["n"]) for key, part in report["everyday"].items()] == [("en", 1), ("de", 1)]
    assert report["everyday"]["en"]["literal"]["top5"] == 1, "of three concepts"
    table = render_table(report)
    assert "| English everyday words | 1 |" in table and "| German everyday words | 1 |" in table
    assert "| Korean names | 1 |" in table


@pytest.mark.slow
def test_wishes_have_their_tables(zoo_of_two: Path, tmp_path: Path) -> None:
    model = _copy(zoo_of_two, tmp_path, refiner=None)
    dyed, framed = ["a blue apple", ["apple"], "blue"], ["duck", ["duck"], ["DUCK", "duck!"]]
    asked = {
        "colours": [dyed, ["a green duck", ["duck"], "green"]],
        "colours_abroad": [dyed],
        "frames": [framed],
        "frames_abroad": [framed],
        "backgrounds": [["a duck on black", "duck", "black"]],
        "couples": [["a bear and a duck", ["bear", "duck"]]],
        "corners": [["a tiny duck in the middle", "duck", "center"]],
    }
    (model / "wishes.json").write_text(json.dumps(asked), "utf-8")
    report = evaluate(str(model), data=zoo_of_two / "data", limit=1)
    wishes = report["wishes"]
    assert wishes["colours"]["n"] == wishes["colours_limit"]["both"] == 1, "the true apple, dyed"
    assert wishes["frames"]["kept"] == 1, "of three concepts"
    assert "couples" not in wishes and wishes["couples_unseen"]["n"] == 1, "it is held out"
    table = render_table(report)
    assert "| a blue horse | 1 | 100.0 % |" in table
    assert "| *limit: as the training data dye them* | 1 | 100.0 % | 100.0 % | 100.0 % |" in table
    assert "| A PHOTO OF A DOG, Butterfly! | 2 | 100.0 % | 100.0 % | 100.0 % |" in table
    assert "| a fox and a rose, never trained on together | 1 | 100.0 % |" in table
    assert "| a cat and a dog |" not in table


@pytest.mark.parametrize("text", ["[]", "{", '{"words": []}', '{"words": [["a"]], "languages": {}}'])
def test_everyday_words_that_are_none_are_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "everyday.json").write_text(text)
    with pytest.raises(JanusError, match="no readable everyday words"):
        read_everyday(tmp_path / "everyday.json", None)


def test_any_of_the_concepts_meant_counts(zoo_of_two: Path, sprites: Sprites) -> None:
    judge = Examiner.load(zoo.find(str(zoo_of_two / "pocket")), "cpu")
    pictures = np.full((2, 64, 64, 3), 255, np.uint8)
    concept, _ = judge.classify(pictures)
    first = judge.labels.concepts[int(concept[0].argmax())]
    others = [name for name in judge.labels.concepts if name != first]
    found = judge.count_found(pictures, [[others[0], first], [others[0]]])
    assert found == {"n": 2, "top1": 0.5, "top5": 1.0}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_report(zoo_of_two: Path) -> None:
    reports = [evaluate(str(zoo_of_two / "pocket"), data=zoo_of_two / "data", limit=1, seed=3) for _ in "ab"]
    for report in reports:
        del report["seconds"]
    assert reports[0] == reports[1]


def _copy(zoo_of_two: Path, tmp_path: Path, **changes: Any) -> Path:
    """The tiny model in a folder of its own, beside the judge, with other components."""
    model = tmp_path / "pocket"
    model.mkdir()
    for file in (zoo_of_two / "pocket").iterdir():
        (model / file.name).symlink_to(file)
    (tmp_path / "judge").symlink_to(zoo_of_two / "judge")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").unlink()
    (model / "config.json").write_text(json.dumps({**config, **changes}))
    return model


def test_what_cannot_be_examined_is_said_in_one_line(zoo_of_two: Path, tmp_path: Path) -> None:
    pocket, data = str(zoo_of_two / "pocket"), zoo_of_two / "data"
    with pytest.raises(UsageError, match="does not go into the model card"):
        evaluate(pocket, data=data, limit=1, write_card=True)
    with pytest.raises(UsageError, match="limit 0"):
        evaluate(pocket, data=data, limit=0)
    with pytest.raises(UsageError, match="there is no folder"):
        evaluate(pocket, data=data, gallery=tmp_path / "missing" / "gallery.png")
    model = _copy(zoo_of_two, tmp_path)
    foreign = {"pairs": [["fox", "noto"]], "trained": [["apple", "noto"]], "plain": ["apple"]}
    foreign |= {"languages": ["apple"], "scenes": [{**vars(ENTRIES[2])}]}
    (model / "heldout.json").write_text(json.dumps(foreign))
    with pytest.raises(JanusError, match="asks for fox in style noto"):
        evaluate(str(model), data=data)
    (model / "heldout.json").unlink()
    (model / "wishes.json").symlink_to(POCKET / "wishes.json")
    with pytest.raises(JanusError, match=r"wishes\.json: asks for elephant in style fluent"):
        evaluate(str(model), data=data)
    (tmp_path / "judge").unlink()
    (tmp_path / "judge").mkdir()
    write_labels(tmp_path / "judge", three_concepts())
    with pytest.raises(ModelError, match=r"lacks .*judge\.safetensors"):
        evaluate(str(model), data=data)
