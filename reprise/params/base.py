"""What all sections share: nothing unknown, nothing changed later, no default in code."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

WholeNumber = Annotated[int, Field(ge=1)]
AutoOrWholeNumber = Annotated[
    Literal["auto"] | WholeNumber, Field(description="auto or a whole number from 1")
]


class Section(BaseModel):
    """A section of params.yaml. Every number is in that file or nowhere."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
