"""The networks. One interface for all: token ids and a state in, hidden states and a state out."""

from reprise.models.language_model import LanguageModel, State
from reprise.models.recurrent import RecurrentBody
from reprise.models.transformer import TransformerBody
from reprise.params.model import ModelParams

__all__ = ["LanguageModel", "State", "build_model"]


def build_model(params: ModelParams, vocabulary_size: int) -> LanguageModel:
    """A network with fresh weights, drawn from torch's global generator."""
    body = RecurrentBody(params) if params.recurrent else TransformerBody(params)
    return LanguageModel(body, params, vocabulary_size)
