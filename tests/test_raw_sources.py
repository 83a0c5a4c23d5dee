"""The manifest of raw files."""

import json
from pathlib import Path

import pytest

from reprise.errors import PipelineError
from reprise.raw import Source, read_manifest


def test_a_manifest_gives_its_files_with_what_it_leaves_out(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    files = [
        {"path": "files/a.txt.zst", "format": "text", "document": "article", "split": "train"},
        {"path": "files/b.tsv", "format": "csv", "text_field": "body", "split": None}
        | {"document": None, "encoding": "big5"},
    ]
    path.write_text(json.dumps({"files": files}))
    article, table = read_manifest(path)
    assert article == Source(
        "files/a.txt.zst", tmp_path / "files/a.txt.zst", "text", "article", "text", "train", "utf-8"
    )
    assert table == Source(
        "files/b.tsv", tmp_path / "files/b.tsv", "csv", "line", "body", None, "big5"
    )


@pytest.mark.parametrize(
    "content",
    [
        '{"corpus": "a"}',
        "[]",
        "null",
        '{"files": [3]}',
        '{"files": [{"path": "a"}]}',
        '{"files": [{"path": "a", "format": "pdf", "split": null}]}',
        '{"files": [{"path": "a", "format": "text", "document": "page", "split": null}]}',
    ],
)
def test_a_manifest_of_another_form_is_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(content)
    with pytest.raises(PipelineError) as caught:
        read_manifest(path)
    assert str(caught.value) == (
        f"{path}: not a manifest of raw files; run `dvc repro -f download` to make it anew"
    )
