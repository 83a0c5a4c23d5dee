"""An existing SentencePiece model, taken as it is instead of learning one."""

import hashlib
import os
from pathlib import Path

from reprise.errors import PipelineError
from reprise.tokenizer import Tokenizer


def taken_model(path: Path, sha256: str | None) -> bytes:
    """The bytes of tokenize.model_file: those that the settings name, and a model that works."""
    try:
        model = path.read_bytes()
    except OSError as error:
        raise PipelineError(
            f"tokenize.model_file: {path}: cannot be read: {os.strerror(error.errno or 0)}; give "
            "the path of a SentencePiece model, or null to learn a vocabulary"
        ) from None
    found = hashlib.sha256(model).hexdigest()
    if sha256 is None:
        raise PipelineError(
            f"tokenize.model_sha256: missing, so that {path} could change unseen; if it is the "
            f"model you mean, set model_sha256 to {found}"
        )
    if found != sha256:
        raise PipelineError(
            f"tokenize.model_file: {path}: its SHA-256 is {found}, but model_sha256 is {sha256}; "
            "it is another file than the settings were written for: get that one, or set "
            "model_sha256 anew"
        )
    try:
        Tokenizer(model).document_end_id  # noqa: B018, PipelineError where it has none
    except RuntimeError:
        raise PipelineError(
            f"tokenize.model_file: {path}: not a SentencePiece model; give the .model file of one "
            "(not tokenizer.json), or null to learn a vocabulary"
        ) from None
    return model
