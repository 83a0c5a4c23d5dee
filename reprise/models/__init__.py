"""The networks. One interface for all: token ids and a state in, hidden states and a state out."""

from reprise.models.language_model import LanguageModel, State
from reprise.models.recurrent import RecurrentBody
from reprise.models.transformer import TransformerBody
from reprise.params.model import ModelParams

__all__ = ["LanguageModel", "State", "build_model"]


def build_model(params: ModelParams, vocabulary_size: int) -> LanguageModel:
    """A network with fresh weights, drawn from torch's global generator."""
    body: RecurrentBody | TransformerBody
    if params.architecture == "transformer":
        body = TransformerBody(
            size=params.hidden_size,
            layers=params.layers,
            heads=params.heads,
            feedforward_size=params.feedforward_size,
            dropout=params.dropout,
        )
    else:
        body = RecurrentBody(
            kind=params.architecture,
            input_size=params.embedding_size,
            hidden_size=params.hidden_size,
            layers=params.layers,
            dropout=params.dropout,
        )
    return LanguageModel(
        body,
        vocabulary_size,
        params.embedding_size,
        params.hidden_size,
        dropout=params.dropout,
        tie_weights=params.tie_weights,
    )
