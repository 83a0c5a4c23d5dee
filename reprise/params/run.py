"""params.yaml, section run: how the work is done. It decides no byte of any result."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from reprise.params.base import AutoOrWholeNumber, Section


class RunParams(Section):
    workers: AutoOrWholeNumber
    engine: Literal["loky", "dask", "ray"]
    engine_address: str | None = Field(description="null, or the address of a Dask or Ray cluster")
    tracking: bool
    experiment: str = Field(min_length=1, description="the experiment's name in MLflow")

    def broken_rules(self) -> Iterator[str]:
        if self.engine == "dask" and not self.engine_address:
            yield "engine dask needs engine_address, such as tcp://127.0.0.1:8786"
        if self.engine == "loky" and self.engine_address:
            yield (
                f"engine_address is {self.engine_address!r}, but engine loky works on this machine; "
                "set engine to dask or ray, or engine_address to null"
            )
