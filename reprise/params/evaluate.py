"""params.yaml, section evaluate."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from reprise.params.base import LARGEST_SEED, Section, Texts

AutoOrTokens = Annotated[
    Literal["auto"] | Annotated[int, Field(ge=1, le=1_000_000)],
    Field(description="auto or a whole number from 1 to 1000000"),
]
Temperature = Annotated[float, Field(ge=0)]
TopK = Annotated[int, Field(ge=0)]
TopP = Annotated[float, Field(gt=0, le=1)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]


class EvaluateParams(Section):
    context: Literal["document", "stream"]
    window: AutoOrTokens
    stride: AutoOrTokens
    batch_tokens: int = Field(ge=1)
    word_ends: Literal["document", "line"]
    baseline_order: int = Field(ge=1, le=6)
    baseline_tokens: int = Field(ge=1, le=2_000_000_000)
    dynamic: bool
    dynamic_learning_rate: float = Field(ge=0)
    dynamic_decay: float = Field(ge=0, le=1)
    dynamic_epsilon: float = Field(gt=0)
    dynamic_segment: int = Field(ge=1)
    dynamic_train_tokens: int = Field(ge=1)
    cache_tokens: int = Field(ge=0, le=100_000_000)
    cache_weight: float = Field(ge=0, lt=1)
    cache_flatness: float = Field(ge=0, le=1e6)
    prompts: Texts
    sample_tokens: int = Field(ge=1)
    temperature: Temperature
    top_k: TopK
    top_p: TopP
    seed: Seed

    def broken_rules(self) -> Iterator[str]:
        if self.stride != "auto" and self.window != "auto" and self.stride > self.window:
            yield (f"stride {self.stride} is above window {self.window}; tokens would be left out")

    def window_and_stride(self, sequence_length: int) -> tuple[int, int]:
        """What `auto` becomes: what the network was trained on, and half of the window."""
        window = sequence_length if self.window == "auto" else self.window
        stride = -(-window // 2) if self.stride == "auto" else min(self.stride, window)
        return window, stride
