"""params.yaml, section tokenize."""

from typing import Literal

from pydantic import Field

from reprise.params.base import LARGEST_SEED, Section, Texts


class TokenizeParams(Section):
    type: Literal["unigram", "bpe", "char", "word"]
    vocabulary_size: int = Field(ge=4, le=4_000_000)
    character_coverage: float = Field(gt=0.9, le=1)
    byte_fallback: bool
    normalization: Literal["identity", "nfkc", "nfkc_cf", "nmt_nfkc", "nmt_nfkc_cf"]
    user_defined_symbols: Texts
    control_symbols: Texts
    sample_bytes: int = Field(ge=1000, description="bytes of train text to learn from")
    seed: int = Field(ge=0, le=LARGEST_SEED)
