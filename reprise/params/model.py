"""params.yaml, section model: the network. It has no stage of its own; train reads it."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from reprise.errors import PipelineError
from reprise.params.base import AutoOrWholeNumber, Section, WholeNumber

WIDEST = 10_000_000  # of a layer, in numbers
WholeNumbers = Annotated[tuple[WholeNumber, ...], Field(strict=False)]  # YAML has lists
Size = Annotated[int, Field(ge=1, le=WIDEST)]
Sizes = Annotated[
    Size | Annotated[tuple[Size, ...], Field(strict=False)],
    Field(description=f"a whole number from 1 to {WIDEST}, or a list of them, one a layer"),
]
Fraction = Annotated[float, Field(ge=0, lt=1)]
GATES = {"rnn": 1, "gru": 3, "lstm": 4}  # rows of a recurrent layer's matrices by hidden size
RECURRENT = tuple(GATES)
LOWEST_SOFT_CAP = 0.01  # below it all pieces are as likely
ADAPTIVE_SHRINKS_BY = 4  # from group to group of an adaptive softmax, as in 1609.04309, 4.2


class ModelParams(Section):
    architecture: Literal["rnn", "gru", "lstm", "transformer", "gpt2"]
    embedding_size: int = Field(ge=1, le=WIDEST)
    hidden_size: Sizes
    layers: int = Field(ge=1, le=10_000)
    heads: int = Field(ge=1, le=WIDEST)
    key_value_heads: AutoOrWholeNumber
    feedforward_size: int = Field(ge=1, le=WIDEST)
    positions: int = Field(ge=1, le=100_000_000)
    gelu_approximation: Literal["tanh", "none"]
    query_key_norm: bool
    logit_soft_cap: float = Field(ge=0, le=1e6)
    tie_weights: bool
    adaptive_cutoffs: WholeNumbers
    initial_head_bias: Literal["unigram", "zeros"]
    input_dropout: Fraction
    hidden_dropout: Fraction
    attention_dropout: Fraction
    output_dropout: Fraction
    embedding_dropout: Fraction
    weight_dropout: Fraction
    variational_dropout: bool

    @property
    def recurrent(self) -> bool:
        return self.architecture in RECURRENT

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """One a layer."""
        if isinstance(self.hidden_size, int):
            return (self.hidden_size,) * self.layers
        return self.hidden_size

    @property
    def head_size(self) -> int:
        """Numbers in a hidden state as the head sees it."""
        return self.embedding_size if self.tie_weights else self.hidden_sizes[-1]

    @property
    def groups(self) -> int:
        """Heads of keys and values; each serves as many heads of queries as the others."""
        return self.heads if self.key_value_heads == "auto" else self.key_value_heads

    def check_window(self, setting: str, tokens: int) -> None:
        """PipelineError where `setting` wants more tokens than the network has positions for."""
        if self.architecture == "gpt2" and tokens > self.positions:
            raise PipelineError(
                f"{setting}: found {tokens}, allowed: up to model.positions {self.positions}; "
                "lower the one, or raise the other and train anew"
            )

    def broken_rules(self) -> Iterator[str]:
        if len(self.hidden_sizes) != self.layers:
            yield f"hidden_size has {len(self.hidden_sizes)} sizes, but layers is {self.layers}"
        if not self.hidden_sizes:
            return
        if list(self.adaptive_cutoffs) != sorted(set(self.adaptive_cutoffs)):
            yield f"adaptive_cutoffs {list(self.adaptive_cutoffs)} must rise"
        if self.adaptive_cutoffs and self.tie_weights:
            yield "adaptive_cutoffs need tie_weights false; its groups have matrices of their own"
        narrowest = ADAPTIVE_SHRINKS_BY ** len(self.adaptive_cutoffs)
        if self.head_size < narrowest:
            yield (
                f"adaptive_cutoffs {list(self.adaptive_cutoffs)} need a last hidden_size of at "
                f"least {narrowest}, it is {self.head_size}; each group is {ADAPTIVE_SHRINKS_BY} "
                "times narrower"
            )
        if 0 < self.logit_soft_cap < LOWEST_SOFT_CAP:
            yield f"logit_soft_cap {self.logit_soft_cap:g} must be 0 or at least {LOWEST_SOFT_CAP}"
        if self.adaptive_cutoffs and self.logit_soft_cap:
            yield "adaptive_cutoffs need logit_soft_cap 0"
        yield from self._recurrent_rules() if self.recurrent else self._transformer_rules()

    def _recurrent_rules(self) -> Iterator[str]:
        if self.query_key_norm:
            yield f"query_key_norm is for transformers; architecture is {self.architecture}"
        if self.attention_dropout:
            yield f"attention_dropout is for transformers; architecture is {self.architecture}"

    def _transformer_rules(self) -> Iterator[str]:
        if self.weight_dropout or self.variational_dropout:
            yield (
                "weight_dropout 0 and variational_dropout false are needed; "
                f"they are for recurrent networks, architecture is {self.architecture}"
            )
        if not isinstance(self.hidden_size, int):
            yield f"hidden_size must be one number; architecture is {self.architecture}"
            return
        if self.embedding_size != self.hidden_size:
            yield (
                f"embedding_size is {self.embedding_size} and hidden_size {self.hidden_size}; "
                "a transformer needs them equal"
            )
        if self.architecture == "gpt2" and self.hidden_size % self.heads:
            yield f"hidden_size {self.hidden_size} must be a multiple of heads {self.heads}"
        if self.architecture != "gpt2" and self.hidden_size % (2 * self.heads):
            yield (
                f"hidden_size {self.hidden_size} over heads {self.heads} must be an even whole "
                "number; rotary positions turn pairs of numbers"
            )
        if self.heads % self.groups:
            yield f"heads {self.heads} must be a multiple of key_value_heads {self.groups}"
        if self.architecture == "gpt2" and (self.groups != self.heads or self.query_key_norm):
            yield "gpt2 has key_value_heads auto and query_key_norm false"
