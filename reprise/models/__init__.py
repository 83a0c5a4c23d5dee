"""The networks. One interface for all: token ids and a state in, hidden states and a state out."""

from collections.abc import Callable

from torch import nn

from reprise.models.gpt2 import Gpt2Body
from reprise.models.language_model import LanguageModel, State
from reprise.models.recurrent import RecurrentBody
from reprise.models.transformer import TransformerBody
from reprise.params.model import RECURRENT, ModelParams

__all__ = ["LanguageModel", "State", "build_model"]

BODIES: dict[str, Callable[[ModelParams], nn.Module]] = {
    **dict.fromkeys(RECURRENT, RecurrentBody),
    "transformer": TransformerBody,
    "gpt2": Gpt2Body,
}


def build_model(params: ModelParams, vocabulary_size: int) -> LanguageModel:
    """A network with fresh weights, drawn from torch's global generator."""
    return LanguageModel(BODIES[params.architecture](params), params, vocabulary_size)
