"""HTML to text."""

from pathlib import Path

import pytest
from raw_reading import CHINESE, documents, readings, shard_bytes, source  # noqa: F401

from reprise.raw import shards, shards_of

PAGE = """<!DOCTYPE html><html><head>{head}<title>A page</title><style>p {{ color: red }}</style>
</head><body><nav><a href="/">Home</a> <a href="/about">About</a></nav><main><h1>Heading</h1>
<p>One &amp; two,
in one line.</p><script>alert("no")</script><p>{text}</p></main><footer>Copyright</footer></body>"""


def page(text: str, charset: str | None = None) -> str:
    return PAGE.format(text=text, head=f'<meta charset="{charset}">' if charset else "")


@pytest.mark.usefixtures("shard_bytes")
def test_the_main_text_of_a_page_is_one_document(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text(page(CHINESE))
    found = [("a.html", f"Heading\n\nOne & two, in one line.\n\n{CHINESE}")]
    assert documents(source(path, format="html")) == found


@pytest.mark.parametrize(
    ("declared", "encoding", "said"),
    [
        ("gb2312", "gb18030", "utf-8"),
        ("UTF-8", "utf-8", "utf-8"),
        (None, "gb18030", "gb18030"),
        ("latin-1", "utf-8", "utf-8"),
    ],
)
def test_a_page_is_decoded_as_was_said_or_as_it_says_itself(
    tmp_path: Path, declared: str | None, encoding: str, said: str
) -> None:
    path = tmp_path / "a.html"
    path.write_bytes(page(CHINESE, declared).encode(encoding))
    ((_, text),) = documents(source(path, format="html", encoding=said))
    assert text.endswith(CHINESE)


def test_old_declarations_of_an_encoding_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    head = '<meta http-equiv="Content-Type" content="text/html; charset=windows-1252">'
    path.write_bytes(PAGE.format(head=head, text="caf\xe9 \u2013").encode("cp1252"))
    ((_, text),) = documents(source(path, format="html"))
    assert text.endswith("caf\xe9 \u2013")


@pytest.mark.parametrize("charset", [None, "nonsense"])
def test_invalid_bytes_of_a_page_that_says_nothing_are_counted(
    tmp_path: Path, charset: str | None
) -> None:
    path = tmp_path / "a.html"
    content = page("b\xe9d", charset).encode("latin-1")
    path.write_bytes(content)
    ((_, text),) = documents(source(path, format="html"))
    assert text.endswith("b\ufffdd")
    (found,) = readings(source(path, format="html"))
    assert (found.invalid_bytes, found.first_invalid) == (1, content.index(b"\xe9"))
    assert found.bytes == len(content)


@pytest.mark.parametrize(("content", "found"), [("", []), ("<script>1</script>", [("a.html", "")])])
def test_a_page_without_text_is_an_empty_document_and_an_empty_file_none(
    tmp_path: Path, content: str, found: list[tuple[str, str]]
) -> None:
    path = tmp_path / "a.html"
    path.write_text(content)
    assert documents(source(path, format="html")) == found


def test_a_page_that_is_too_long_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 1000)
    path = tmp_path / "a.html"
    path.write_text(page("x" * 70_000))
    of = source(path, format="html")
    assert [shard.too_long for shard in shards_of(of, 1000)] == [True, False]
    assert [name for name, _ in documents(of, 1000)] == ["a.html"]
    assert [shard.too_long for shard in shards_of(of, 2000)] == [False]
