"""params.yaml, section run: how the work is done. It decides no byte of any result."""

import re
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from reprise.params.base import AutoOrWholeNumber, Section

ADDRESSES = {  # of each engine that is a cluster: their form, and how to say it
    "dask": (r"(tcp|tls|ucx|wss?)://\S+:\d+", "one such as tcp://127.0.0.1:8786"),
    "ray": (r"auto|ray://\S+", "auto (the cluster this machine is part of) or ray://HOST:10001"),
}


class RunParams(Section):
    workers: AutoOrWholeNumber
    engine: Literal["loky", "dask", "ray"]
    engine_address: str | None = Field(description="null, or the address of a Dask or Ray cluster")
    tracking: bool
    experiment: str = Field(min_length=1, description="the experiment's name in MLflow")

    def broken_rules(self) -> Iterator[str]:
        found = "null" if self.engine_address is None else repr(self.engine_address)
        if self.engine == "loky":
            if self.engine_address is not None:
                yield (
                    f"engine_address is {found}, but engine loky works on this machine; set engine "
                    "to dask or ray, or engine_address to null"
                )
        else:
            form, wanted = ADDRESSES[self.engine]
            if not re.fullmatch(form, self.engine_address or ""):
                yield f"engine_address is {found}, but engine {self.engine} needs {wanted}"
