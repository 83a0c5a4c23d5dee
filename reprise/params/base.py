"""What all sections share: nothing unknown, nothing changed later, no default in code."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of params.yaml. Every number is in that file or nowhere."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
