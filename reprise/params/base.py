"""What all sections share: nothing unknown, nothing guessed, nothing changed later."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

WholeNumber = Annotated[int, Field(ge=1)]
AutoOrWholeNumber = Annotated[
    Literal["auto"] | WholeNumber, Field(description="auto or a whole number from 1")
]
Texts = Annotated[tuple[str, ...], Field(strict=False)]  # YAML has lists
LARGEST_SEED = 2**32 - 1
HALVES = re.compile("[\ud800-\udfff]")
LARGEST_WHOLE_NUMBER, LARGEST_NUMBER = 10**15, 1e38  # of settings without a limit of their own


class Section(BaseModel):
    """A section of params.yaml. Every number is in that file or nowhere: no default in code."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    def broken_rules(self) -> Iterator[str]:
        """A line for each rule between settings that they break."""
        yield from ()

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        if broken := [*self._too_large(), *self._not_texts()] or [*self.broken_rules()]:
            raise ValueError("\n".join(broken))
        return self

    def _too_large(self) -> Iterator[str]:
        """Numbers with which nothing could be reckoned."""
        for name in type(self).model_fields:
            value: Any = getattr(self, name)
            largest = LARGEST_NUMBER if isinstance(value, float) else LARGEST_WHOLE_NUMBER
            if isinstance(value, int | float) and abs(value) > largest:
                yield f"{name}: found a number above {largest:g}; allowed: up to {largest:g}"

    def _not_texts(self) -> Iterator[str]:
        """Texts with half of a character, as JSON writes those that UTF-16 needs two for."""
        for name in type(self).model_fields:
            value: Any = getattr(self, name)
            for text in value if isinstance(value, tuple) else (value,):
                if isinstance(text, str) and HALVES.search(text):
                    yield (
                        f"{name}: found {text!r}, which has halves of characters; write a whole "
                        "one as it is, or as \\U and eight digits"
                    )
