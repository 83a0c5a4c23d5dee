"""params.yaml, section encode."""

from pydantic import Field

from reprise.params.base import Section


class EncodeParams(Section):
    round_trip_documents: int = Field(ge=0, description="documents of each split to check")
