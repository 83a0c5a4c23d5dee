"""params.yaml, section run: how the work is done. It decides no byte of any result."""

from typing import Literal, Self

from pydantic import Field, model_validator

from reprise.params.base import Section


class RunParams(Section):
    workers: Literal["auto"] | int = Field(description="auto or a whole number from 1")
    tracking: bool
    experiment: str = Field(min_length=1, description="the experiment's name in MLflow")

    @model_validator(mode="after")
    def _workers_exist(self) -> Self:
        if isinstance(self.workers, int) and self.workers < 1:
            raise ValueError(f"workers is {self.workers}; allowed: auto or a whole number from 1")
        return self
