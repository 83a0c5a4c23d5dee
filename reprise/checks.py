"""What a comparison with a record says, in one line for each thing compared."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["same", "differs", "missing", "note"]


@dataclass(frozen=True)
class Check:
    verdict: Verdict
    subject: str
    detail: str = ""  # expected, found, what to do

    @property
    def line(self) -> str:
        return f"{self.verdict:8} {self.subject}" + (f": {self.detail}" if self.detail else "")

    @property
    def fails(self) -> bool:
        return self.verdict in ("differs", "missing")
