"""The catalogue of corpora."""

from pathlib import Path

import pytest

from reprise.catalog import find_entry, is_named
from reprise.errors import PipelineError

COMMITTED = Path(__file__).parents[1] / "data/catalog.yaml"


def test_the_committed_catalogue_names_installed_packages() -> None:
    from importlib.metadata import version

    for corpus in ("docstrings", "docstrings-full"):
        entry = find_entry(COMMITTED, corpus)
        assert entry.kind == "docstrings"
        assert all(version(package) for package in entry.packages)


def test_an_unknown_corpus_is_answered_with_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(PipelineError) as caught:
        find_entry(COMMITTED, "docstring")
    assert str(caught.value) == (
        f"download.corpus: 'docstring' is neither a file or folder nor a name in {COMMITTED}; "
        "names there: docstrings, docstrings-full; did you mean docstrings?"
    )


def test_faults_of_an_entry_are_told_all_at_once(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(
        "mine:\n  kind: docstring\n  title: Mine\n  language: en\n  licence: MIT\n"
        "  homepag: https://example.org\n  packages: []\n"
    )
    with pytest.raises(PipelineError) as caught:
        find_entry(catalog, "mine")
    assert caught.value.lines == (
        f"{catalog}: mine.kind: input should be 'docstrings'",
        f"{catalog}: mine.homepage: field required",
        f"{catalog}: mine.packages: tuple should have at least 1 item after validation, not 0",
        f"{catalog}: mine.homepag: extra inputs are not permitted",
    )


def error_of(catalog: Path, corpus: str = "mine") -> tuple[str, ...]:
    with pytest.raises(PipelineError) as caught:
        find_entry(catalog, corpus)
    return caught.value.lines


def test_a_missing_an_empty_and_another_file_are_told(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.yaml"
    advice = "give the catalogue of corpora with --catalog"
    assert error_of(catalog) == (f"{catalog}: no such file; {advice}",)
    for content, found in (("# nothing\n", "nothing"), ("- a\n", "a list"), ("a", "a str")):
        catalog.write_text(content)
        assert error_of(catalog) == (
            f"{catalog}: expected a mapping of names, found {found}; {advice}",
        )


ENTRY = "kind: docstrings, title: A, language: en, licence: MIT, homepage: a, packages: [a]"


def test_a_name_that_is_a_number_to_yaml_can_be_found(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(f"2024: {{{ENTRY}}}\ntrue: {{{ENTRY}}}\n[a, b]: {{{ENTRY}}}\n")
    assert find_entry(catalog, "2024").title == "A"
    assert is_named(catalog, "2024")
    (line,) = error_of(catalog)
    assert line.startswith("download.corpus: 'mine' is neither a file or folder nor a name in ")


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (f"{{{ENTRY}, 1: a}}", "mine.1: keys should be strings"),
        ("null", "mine: input should be a valid dictionary or instance of Entry"),
        ("[a]", "mine: input should be a valid dictionary or instance of Entry"),
    ],
)
def test_an_entry_of_another_kind_is_told(tmp_path: Path, entry: str, line: str) -> None:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(f"mine: {entry}\n")
    assert error_of(catalog) == (f"{catalog}: {line}",)
