"""params.yaml, section clean."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from reprise.params.base import LARGEST_SEED, Section


class CleanParams(Section):
    max_invalid_bytes_fraction: float = Field(ge=0, le=1)
    unicode_form: Literal["none", "NFC", "NFKC"]
    min_characters: int = Field(ge=1)
    max_characters: int = Field(ge=1)
    drop_exact_duplicates: bool
    max_dropped_fraction: float = Field(ge=0, le=1)
    valid_fraction: float = Field(gt=0, lt=1)
    test_fraction: float = Field(gt=0, lt=1)
    split_seed: int = Field(ge=0, le=LARGEST_SEED)
    samples_per_reason: int = Field(ge=0)

    def broken_rules(self) -> Iterator[str]:
        if self.valid_fraction + self.test_fraction >= 1:
            yield (
                f"valid_fraction + test_fraction is {self.valid_fraction + self.test_fraction:g}; "
                "it must stay below 1, so that train keeps something"
            )
        if self.min_characters > self.max_characters:
            yield (
                f"min_characters {self.min_characters} is above max_characters "
                f"{self.max_characters}; lower one or raise the other"
            )
