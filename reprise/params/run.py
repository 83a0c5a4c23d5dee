"""params.yaml, section run: how the work is done. It decides no byte of any result."""

from pydantic import Field

from reprise.params.base import AutoOrWholeNumber, Section


class RunParams(Section):
    workers: AutoOrWholeNumber
    tracking: bool
    experiment: str = Field(min_length=1, description="the experiment's name in MLflow")
