"""What tests of reading raw files share."""

from pathlib import Path
from typing import Any

import pytest

from reprise.errors import PipelineError
from reprise.raw import Reading, Source, documents_of, shards, shards_of

CHINESE = "天地玄黄"


def source(path: Path, **given: Any) -> Source:
    fields = {"name": path.name, "path": path, "format": "text", "document": "line"}
    return Source(**(fields | {"text_field": "text", "split": None} | given))


def documents(of: Source, max_characters: int = 1000) -> list[tuple[str, str]]:
    return [d for shard in shards_of(of, max_characters) for d in documents_of(shard, Reading())]


def readings(of: Source, max_characters: int = 1000) -> list[Reading]:
    found = []
    for shard in shards_of(of, max_characters):
        found.append(Reading())
        list(documents_of(shard, found[-1]))
    return found


def error_of(of: Source, max_characters: int = 1000) -> str:
    with pytest.raises(PipelineError) as caught:
        documents(of, max_characters)
    (line,) = caught.value.lines
    return line


@pytest.fixture(params=[1, 5, 64, 1 << 20])
def shard_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Shards so small that every cut falls everywhere, and one that holds all."""
    monkeypatch.setattr(shards, "SHARD_BYTES", request.param)
    return request.param
