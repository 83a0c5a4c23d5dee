"""The catalogue of corpora."""

from pathlib import Path

import pytest

from reprise.catalog import find_entry
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
