"""Groups of equal and of nearly equal documents."""

import random
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from clean_settings import clean_params, cleaned

from reprise import duplicates
from reprise.duplicates import Groups, find_duplicates
from reprise.params.clean import CleanParams

WORDS = [f"word{i}" for i in range(5000)]


def params(**changed: object) -> CleanParams:
    settings = {"rules": [], "near_duplicates": "drop", "near_duplicate_similarity": 0.7}
    return clean_params(**(settings | changed))


def text(dice: random.Random, length: int = 120) -> str:
    return " ".join(dice.choices(WORDS, k=length))


def edited(original: str, dice: random.Random, changes: int = 2) -> str:
    words = original.split()
    for place in dice.sample(range(len(words)), changes):
        words[place] = dice.choice(WORDS)
    return " ".join(words)


def groups_of(
    folder: Path, shards: list[list[str]], settings: CleanParams, workers: int = 1
) -> tuple[list[int], list[int]]:
    """The first document of each one's group, of equal ones and of alike ones."""
    documents = np.arange(sum(map(len, shards)))
    with cleaned(folder, shards, settings) as scratch:
        found = find_duplicates(scratch, len(documents), settings, workers)
        equal, alike = (groups.firsts(documents).tolist() for groups in found)
    return equal, alike


def test_equal_texts_meet_across_shards(tmp_path: Path) -> None:
    shards = [["one text", "two", "one text"], ["three", "one text"], ["two", ""], ["four"]]
    equal, alike = groups_of(tmp_path, [[t for t in s if t] for s in shards], params())
    assert equal == alike == [0, 1, 0, 3, 0, 1, 6]


def test_every_planted_near_duplicate_is_found_and_nothing_else(tmp_path: Path) -> None:
    dice = random.Random(7)
    originals = [text(dice) for _ in range(60)]
    copies = [edited(original, dice) for original in originals]
    _, alike = groups_of(
        tmp_path, [originals[:30], copies[:50], originals[30:], copies[50:]], params()
    )
    order = [*range(30), *range(80, 110)]  # where the originals stand
    places = [*range(30, 80), *range(110, 120)]  # where their copies stand
    expected = list(range(120))
    for original, copy in zip(order, places, strict=True):
        expected[max(original, copy)] = min(original, copy)
    assert alike == expected


def plain_groups(texts: list[str], size: int, least: float) -> list[int]:
    """All pairs compared, without MinHash."""
    sets = [
        {tuple(words[i : i + size]) for i in range(max(1, len(words) - size + 1))}
        for words in (each.split() for each in texts)
    ]
    group = list(range(len(texts)))
    for a, b in combinations(range(len(texts)), 2):
        if len(sets[a] & sets[b]) >= least * len(sets[a] | sets[b]):
            old, new = max(group[a], group[b]), min(group[a], group[b])
            group = [new if one == old else one for one in group]
    return group


def test_chains_are_one_group_and_all_agrees_with_comparing_all_pairs(tmp_path: Path) -> None:
    dice = random.Random(3)
    texts = []
    for _ in range(8):
        link = text(dice, 60)
        for _ in range(6):
            texts.append(link)
            link = edited(link, dice, 1)
    dice.shuffle(texts)
    settings = params(minhash_bands=60, minhash_rows=3)  # finds all above 0.7 for certain
    _, alike = groups_of(tmp_path, [texts[:20], texts[20:]], settings)
    assert alike == plain_groups(texts, settings.shingle_words, 0.7)
    assert len(set(alike)) == 8


@pytest.mark.slow
def test_ranges_and_workers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(9)
    originals = [text(dice) for _ in range(30)]
    shards = [originals, [edited(one, dice) for one in originals], originals[:5]]
    once = groups_of(tmp_path / "one", shards, params())
    monkeypatch.setattr(duplicates, "KEYS_A_TASK", 7)
    assert groups_of(tmp_path / "three", shards, params(), workers=3) == once


def test_switched_off_only_equal_texts_are_found(tmp_path: Path) -> None:
    dice = random.Random(1)
    original = text(dice)
    shards = [[original, edited(original, dice), original]]
    assert groups_of(tmp_path, shards, params(near_duplicates="off")) == ([0, 1, 0], [0, 1, 0])


def test_documents_without_words_are_alike_only_when_equal(tmp_path: Path) -> None:
    shards = [["--- ---", "!!!", "!!!"]]
    assert groups_of(tmp_path, shards, params()) == ([0, 1, 1], [0, 1, 1])


def test_groups_are_named_by_their_first_and_know_their_members(tmp_path: Path) -> None:
    groups = Groups.of_one(tmp_path / "groups", 8)
    groups.join(np.array([[5, 6], [2, 5], [6, 1], [3, 7]]))
    assert groups.firsts(np.arange(8)).tolist() == [0, 1, 1, 3, 4, 1, 1, 3]
    assert groups.members().tolist() == [1, 2, 3, 5, 6, 7]
    assert Groups.of_one(tmp_path / "single", 3).members().tolist() == []
