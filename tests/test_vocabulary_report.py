"""What a vocabulary is like: every figure by hand on a few words."""

import pyarrow as pa
import pytest
from test_tokenizer import TEXTS, params

from reprise.tokenizer import Tokenizer
from reprise.tokenizer_training import train_tokenizer
from reprise.vocabulary_report import (
    SIGNS,
    Script,
    figures,
    on_sample,
    on_valid,
    report,
    script_of,
)


def column(*texts: str) -> pa.StringArray:
    return pa.array(texts, pa.string())


def sample_of(*texts: str) -> pa.ChunkedArray:
    return pa.chunked_array([column(*texts)])


LEARNED = ["ab ab ab ab", "ab"]


def learned(**changed: object) -> Tokenizer:
    return Tokenizer(train_tokenizer(LEARNED, params(**changed)))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    found = learned(vocabulary_size=265)
    assert sorted(found.pieces()[260:]) == ["a", "ab", "b", "▁", "▁ab"]
    return found


def test_figures_are_counted_on_valid_and_on_the_sample(tokenizer: Tokenizer) -> None:
    valid = on_valid(tokenizer, [column("ab\nab b", "é—")])  # ab, \n, ab, ▁, b, 2 bytes, 3 bytes
    sample = on_sample(tokenizer, sample_of(*LEARNED))  # ab, 3 times ▁ab; ab
    assert figures(tokenizer, valid, sample) == {
        "pieces": 265,
        "bytes_per_token_on_valid": round(12 / 10, 4),
        "tokens_per_word_on_valid": round(10 / 4, 4),
        "unknown_on_valid": 0,
        "unknown_share_on_valid": 0.0,
        "byte_fallback_share_on_valid": 0.5,
        "pieces_unused_on_valid": 3,  # a, ▁ab and the tab
        "pieces_unused_on_sample": 5,  # a, b, ▁, the line end and the tab
        "sample": {"documents": 2, "bytes": 13, "lines_cut": 0},
        "scripts_on_valid": {
            "latin": {"share": round(6 / 7, 6), "spelt_out": round(1 / 6, 6)},
            SIGNS: {"share": round(1 / 7, 6), "spelt_out": 1.0},
        },
    }


def test_unknown_characters_are_counted() -> None:
    found = learned(type="char", vocabulary_size=7, byte_fallback=False)
    valid = on_valid(
        found, [column("ab жa ж", "я玄")]
    )  # я and 玄 side by side are one unknown token
    named = figures(found, valid, on_sample(found, sample_of(*LEARNED)))
    assert named["unknown_on_valid"] == 3
    assert named["unknown_share_on_valid"] == round(3 / 8, 6)
    assert valid.scripts == [
        Script("cyrillic", 3, 3),
        Script("latin", 3, 0),
        Script("cjk", 1, 1),
    ]


def test_characters_of_unknown_words_count_in_a_vocabulary_of_words() -> None:
    found = Tokenizer(
        train_tokenizer(
            [" ab ab cd\ncd"], params(type="word", vocabulary_size=9, byte_fallback=False)
        )
    )
    assert set(found.pieces()[6:]) == {"▁ab", "▁cd", "cd"}
    # "ab" stands with a blank before it in the vocabulary, "cde" nowhere.
    assert on_valid(found, [column(" ab cde\ncd")]).scripts == [Script("latin", 7, 3)]


def test_batches_change_no_figure(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = report(
        tokenizer, on_valid(tokenizer, [column(*TEXTS)]), on_sample(tokenizer, sample_of(*TEXTS))
    )
    monkeypatch.setattr("reprise.vocabulary_report.CHARACTERS_AT_ONCE", 50)
    each = [column(text) for text in TEXTS]
    parts = report(
        tokenizer, on_valid(tokenizer, each), on_sample(tokenizer, pa.chunked_array(each))
    )
    assert parts == whole


def test_lines_that_were_cut_are_counted(tokenizer: Tokenizer) -> None:
    assert on_sample(tokenizer, sample_of("ab\n" + "ab " * 2000, "ab")).lines_cut == 1


def test_an_empty_valid_has_figures_too(tokenizer: Tokenizer) -> None:
    found = figures(tokenizer, on_valid(tokenizer, []), on_sample(tokenizer, sample_of()))
    assert found["bytes_per_token_on_valid"] == found["tokens_per_word_on_valid"] == 0
    assert found["scripts_on_valid"] == {}


@pytest.mark.parametrize(
    ("characters", "name"),
    [
        ("aÉß", "latin"),
        ("жЯ", "cyrillic"),
        ("玄豈", "cjk"),
        ("ひ", "hiragana"),
        ("한ㅎ", "hangul"),
        ("१ह", "devanagari"),
        ("1.—。\u0301😀\x00\ud7ff\u200b", SIGNS),
    ],
)
def test_characters_have_scripts(characters: str, name: str) -> None:
    assert {script_of(character) for character in characters} == {name}


def test_the_page_shows_pieces(tokenizer: Tokenizer) -> None:
    page = report(
        tokenizer, on_valid(tokenizer, [column("ab é")]), on_sample(tokenizer, sample_of(*LEARNED))
    )
    assert page == (
        "# The vocabulary\n\n265 pieces, of the type bpe.\n\n"
        "## On valid, which it was not learned from\n\n"
        "| quantity | value |\n| --- | ---: |\n"
        "| bytes a token | 1.250 |\n| tokens a word | 2.000 |\n"
        "| unknown | 0.000% of the tokens |\n| bytes | 50.000% of the tokens |\n"
        "| pieces never used | 5 |\n\n"
        "## On the sample of train\n\n"
        "| quantity | value |\n| --- | ---: |\n"
        "| documents drawn | 2 |\n| their bytes | 13 |\n"
        "| lines so long that they were cut | 0 |\n| pieces never used | 5 |\n\n"
        "## Characters of valid, without blanks\n\n"
        "| script | share | of it in bytes or unknown |\n| --- | ---: | ---: |\n"
        "| latin | 100.000% | 33.333% |\n\n"
        "## Longest pieces (7 of 7)\n\n"
        "| piece | characters | uses |\n| --- | ---: | ---: |\n"
        "| `▁ab` | 3 | 3 |\n| `ab` | 2 | 2 |\n| `\\n` | 1 | 0 |\n| `\\t` | 1 | 0 |\n"
        + "".join(f"| `{p}` | 1 | 0 |\n" for p in tokenizer.pieces()[260:] if len(p) == 1)
        + "\n## Most frequent pieces in the sample (2 of 2)\n\n"
        "| piece | characters | uses |\n| --- | ---: | ---: |\n"
        "| `▁ab` | 3 | 3 |\n| `ab` | 2 | 2 |\n\n"
        "## Rarest of the pieces that the sample uses (2 of 2)\n\n"
        "| piece | characters | uses |\n| --- | ---: | ---: |\n"
        "| `ab` | 2 | 2 |\n| `▁ab` | 3 | 3 |\n\n"
        "## Pieces that the sample never uses (5 of 5)\n\n"
        "| piece | characters | uses |\n| --- | ---: | ---: |\n"
        "| `\\n` | 1 | 0 |\n| `\\t` | 1 | 0 |\n"
        + "".join(f"| `{p}` | 1 | 0 |\n" for p in tokenizer.pieces()[260:] if len(p) == 1)
    )


def test_pieces_with_marks_of_a_table_stay_in_their_cell() -> None:
    symbols = ("a|b", "``", "x\u200by")
    found = learned(vocabulary_size=268, user_defined_symbols=symbols)
    page = report(found, on_valid(found, [column("ab")]), on_sample(found, sample_of(*LEARNED)))
    assert "| `a\\|b` | 3 | 0 |" in page
    assert "| ``` `` ``` | 2 | 0 |" in page
    assert "| `x\\u200by` | 3 | 0 |" in page
