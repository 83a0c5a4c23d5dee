"""params.yaml, section download."""

from typing import Literal

from pydantic import Field

from reprise.params.base import Section


class DownloadParams(Section):
    corpus: str = Field(min_length=1, description="a name in data/catalog.yaml, or a path")
    document: Literal["file", "paragraph", "line"]
    text_field: str = Field(min_length=1, description="the name of a field or column")
