"""params.yaml, section clean."""

from typing import Literal, Self

from pydantic import Field, model_validator

from reprise.params.base import Section


class CleanParams(Section):
    max_invalid_bytes_fraction: float = Field(ge=0, le=1)
    unicode_form: Literal["none", "NFC", "NFKC"]
    min_characters: int = Field(ge=1)
    max_characters: int = Field(ge=1)
    drop_exact_duplicates: bool
    max_dropped_fraction: float = Field(ge=0, le=1)
    valid_fraction: float = Field(gt=0, lt=1)
    test_fraction: float = Field(gt=0, lt=1)
    split_seed: int = Field(ge=0)
    samples_per_reason: int = Field(ge=0)

    @model_validator(mode="after")
    def _train_keeps_something(self) -> Self:
        if self.valid_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"valid_fraction + test_fraction is {self.valid_fraction + self.test_fraction:g}; "
                "it must stay below 1, so that train keeps something"
            )
        if self.min_characters > self.max_characters:
            raise ValueError(
                f"min_characters {self.min_characters} is above max_characters "
                f"{self.max_characters}; lower one or raise the other"
            )
        return self
