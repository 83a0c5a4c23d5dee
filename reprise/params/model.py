"""params.yaml, section model: the network. It has no stage of its own; train reads it."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from reprise.params.base import Section


class ModelParams(Section):
    architecture: Literal["rnn", "gru", "lstm", "transformer"]
    embedding_size: int = Field(ge=1)
    hidden_size: int = Field(ge=1)
    layers: int = Field(ge=1)
    heads: int = Field(ge=1)
    feedforward_size: int = Field(ge=1)
    dropout: float = Field(ge=0, lt=1)
    tie_weights: bool

    def broken_rules(self) -> Iterator[str]:
        if self.architecture != "transformer":
            return
        if self.embedding_size != self.hidden_size:
            yield (
                f"embedding_size is {self.embedding_size} and hidden_size {self.hidden_size}; "
                "a transformer needs them equal"
            )
        if self.hidden_size % (2 * self.heads):
            yield (
                f"hidden_size {self.hidden_size} over heads {self.heads} must be an even whole "
                "number; rotary positions turn pairs of numbers"
            )
