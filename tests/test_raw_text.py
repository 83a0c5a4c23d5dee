"""Text cut into lines, paragraphs, files and articles."""

import os
from pathlib import Path

import pytest
from raw_reading import CHINESE, documents, readings, shard_bytes, source  # noqa: F401

from reprise.raw import Reading, Shard, documents_of, shards, shards_of


@pytest.mark.usefixtures("shard_bytes")
def test_lines_are_named_by_their_number_whatever_ends_them(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(f"one\r\ntwo\n\n \nfive {CHINESE}\rsix\r\r\neight".encode())
    assert documents(source(path)) == [
        ("a.txt:1", "one"),
        ("a.txt:2", "two"),
        ("a.txt:5", f"five {CHINESE}"),
        ("a.txt:6", "six"),
        ("a.txt:8", "eight"),
    ]


@pytest.mark.usefixtures("shard_bytes")
def test_paragraphs_are_divided_by_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\n\none\n  two\n \t\n\n\nthree\r\n\r\nfour\r\nfive\r\n")
    assert documents(source(path, document="paragraph")) == [
        ("a.txt:3", "one\n  two"),
        ("a.txt:8", "three"),
        ("a.txt:10", "four\nfive\n"),
    ]


@pytest.mark.usefixtures("shard_bytes")
def test_a_file_can_be_one_document(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\n\ntwo\n")
    assert documents(source(path, document="file")) == [("a.txt", "one\n\ntwo\n")]


def far_more(than: int) -> int:
    """Bytes of a document that is longer than a shard and than 100 characters."""
    return 3 * max(than, 1000)


@pytest.mark.parametrize("document", ["line", "paragraph", "file"])
def test_a_document_that_is_too_long_is_passed_over_and_the_next_is_read(
    tmp_path: Path,
    document: str,
    shard_bytes: int,  # noqa: F811
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"short\n\n" + b"x" * far_more(shard_bytes) + b"\n\nend")
    cut = list(shards_of(source(path, document=document), 100))
    marked = [shard for shard in cut if shard.too_long]
    start = (1, 0) if document == "file" else (3, 7)
    assert [(shard.line, shard.offset) for shard in marked] == [start]
    assert all(len(shard.content) <= shards.SAMPLE_BYTES for shard in marked)
    kept = [d for s in cut if not s.too_long for d in documents_of(s, Reading())]
    whole = [] if document == "file" else [("a.txt:1", "short"), ("a.txt:5", "end")]
    assert kept == whole
    assert [shard.last for shard in cut] == [False] * (len(cut) - 1) + [True]


@pytest.mark.parametrize("before", [b"", b"a", b"ab"])
def test_a_document_that_is_too_long_is_cut_between_characters_and_its_bytes_are_counted(
    tmp_path: Path,
    before: bytes,
    shard_bytes: int,  # noqa: F811
) -> None:
    path = tmp_path / "a.txt"
    lines = [
        b"short",
        before + "天".encode() * far_more(shard_bytes),
        "玄".encode(),
        b"\xff" * far_more(shard_bytes),
        b"end",
    ]
    path.write_bytes(b"\n".join(lines))
    found = readings(source(path), max_characters=100)
    assert sum(reading.bytes + reading.skipped_bytes for reading in found) == path.stat().st_size
    long = [shard for shard in shards_of(source(path), 100) if shard.too_long]
    assert [shard.line for shard in long] == [2, 4]
    assert set(long[0].content.removeprefix(before).decode()) == {"天"}
    assert sum(r.invalid_bytes for r in found) == len(long[1].content)


def test_the_bytes_of_a_file_that_ends_in_what_is_too_long_are_counted(
    tmp_path: Path,
    shard_bytes: int,  # noqa: F811
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("天".encode() * far_more(shard_bytes))
    found = readings(source(path, document="file"), max_characters=100)
    size = sum(reading.bytes + reading.skipped_bytes for reading in found)
    assert size == path.stat().st_size
    assert sum(reading.invalid_bytes for reading in found) == 0


@pytest.mark.usefixtures("shard_bytes")
def test_invalid_bytes_become_replacement_characters_and_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"good\nb\xffd\n\xe5\xa4 \xf0\x9f\n")
    assert [text for _, text in documents(source(path))] == ["good", "b\ufffdd", "\ufffd \ufffd"]
    found = readings(source(path))
    assert sum(reading.invalid_bytes for reading in found) == 5
    assert sum(reading.bytes for reading in found) == path.stat().st_size
    assert next(r.first_invalid for r in found if r.first_invalid is not None) == 6


def test_a_byte_order_mark_and_line_ends_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    found, _ = readings(source(path))
    assert (found.byte_order_marks, found.line_ends) == (1, 2)


def test_a_byte_order_mark_inside_a_text_stays() -> None:
    later = Shard(source(Path("a.txt")), offset=9, content=b"\xef\xbb\xbfa")
    assert list(documents_of(later, Reading())) == [("a.txt:1", "\ufeffa")]


ARTICLES = """before

 = One =

 text = of one

 = = Part = =

 = a line of a table =
 = = = Deeper = = =

 = Two = 1 + 1 =
 \t
 =  = nothing

 = Three = =
 last \n"""


@pytest.mark.usefixtures("shard_bytes")
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_articles_begin_at_headings_and_keep_every_line(tmp_path: Path, line_end: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(ARTICLES.replace("\n", line_end).encode())
    two = ARTICLES.index(" = Two")
    assert documents(source(path, document="article")) == [
        ("a.txt:1", ARTICLES[: two - 1]),
        ("a.txt:12", ARTICLES[two:-1]),
    ]


@pytest.mark.usefixtures("shard_bytes")
@pytest.mark.parametrize("heading", [" = A =", " = A = ", " = 天 = \t"])
def test_an_article_can_begin_with_the_file_and_be_a_heading_alone(
    tmp_path: Path, heading: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"{heading}\n\nx\n\n{heading}\n\n{heading}")
    found = [("a.txt:1", f"{heading}\n\nx\n"), ("a.txt:5", f"{heading}\n"), ("a.txt:7", heading)]
    assert documents(source(path, document="article")) == found


def test_a_file_without_headings_is_one_article_and_a_blank_one_none(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one\n\n = = two = =")
    assert documents(source(path, document="article")) == [("a.txt:1", "one\n\n = = two = =")]
    path.write_text("\n \n")
    assert documents(source(path, document="article")) == []


def test_an_article_that_is_too_long_is_passed_over_and_the_next_is_read(
    tmp_path: Path,
    shard_bytes: int,  # noqa: F811
) -> None:
    path = tmp_path / "a.txt"
    rest = b"\n\n = B = \n\nb\n\n = C = \n\n"
    path.write_bytes(b" = A = \n\n" + b"x" * far_more(shard_bytes) + rest)
    cut = list(shards_of(source(path, document="article"), 100))
    assert [shard.line for shard in cut if shard.too_long] == [1]
    kept = [d for shard in cut if not shard.too_long for d in documents_of(shard, Reading())]
    assert kept == [("a.txt:5", " = B = \n\nb\n"), ("a.txt:9", " = C = \n")]


def test_the_articles_of_wikitext_hold_all_its_words_and_lines() -> None:
    corpora = Path(os.environ.get("REPRISE_TEST_CORPORA", "../shared/corpora"))
    path = corpora / "wikitext-2" / "valid.txt"
    if not path.exists():
        pytest.skip(f"{path} is not there; REPRISE_TEST_CORPORA names its folder")
    texts = [text for _, text in documents(source(path, document="article"), 10**7)]
    assert len(texts) == 60
    assert sum(len(text.split()) + text.count("\n") + 1 for text in texts) == 217_646
    assert "\n".join(texts) + "\n" == path.read_text()


def test_line_ends_in_a_document_that_is_too_long_are_counted_once(
    tmp_path: Path,
    shard_bytes: int,  # noqa: F811
) -> None:
    path = tmp_path / "a.txt"
    lines = far_more(shard_bytes) // 3 + 500
    path.write_bytes(b"x\r\n" * lines + b"\r\nend")
    found = documents(source(path, document="paragraph"), max_characters=100)
    assert [name for name, _ in found] == ["a.txt:1", f"a.txt:{lines + 2}"]
