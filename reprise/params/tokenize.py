"""params.yaml, section tokenize."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from reprise.params.base import LARGEST_SEED, Section, Texts

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class TokenizeParams(Section):
    model_file: str | None = Field(
        min_length=1, description="null, or the path of a SentencePiece model"
    )
    model_sha256: Sha256 | None = Field(
        description="null, or the model file's SHA-256: 64 digits and small letters a to f"
    )
    type: Literal["unigram", "bpe", "char", "word"]
    vocabulary_size: int = Field(ge=4, le=4_000_000)
    character_coverage: float = Field(gt=0.9, le=1)
    byte_fallback: bool
    normalization: Literal["identity", "nfkc", "nfkc_cf", "nmt_nfkc", "nmt_nfkc_cf"]
    user_defined_symbols: Texts
    control_symbols: Texts
    sample_bytes: int = Field(ge=1000, description="bytes of train text to learn from")
    seed: int = Field(ge=0, le=LARGEST_SEED)

    def broken_rules(self) -> Iterator[str]:
        if self.model_sha256 is not None and self.model_file is None:
            yield "model_sha256 is set but model_file is null; set both, or both to null"
