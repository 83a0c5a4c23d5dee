"""params.yaml, section download."""

from typing import Literal

from pydantic import Field

from reprise.params.base import Section


class DownloadParams(Section):
    corpus: str = Field(min_length=1, description="a name in data/catalog.yaml, or a path")
    document: Literal["file", "paragraph", "line", "article"]
    text_field: str = Field(min_length=1, description="the name of a field or column")
    encoding: str = Field(min_length=1, description="a character encoding that Python knows")
    max_unpacked_bytes: int = Field(ge=1, description="bytes an archive may unpack to")
    max_archive_files: int = Field(ge=1, description="files an archive may hold")
