"""Embedding, body and head: what all architectures share.

B sequences, T tokens, E embedding size, H hidden size, V pieces in the vocabulary.
"""

from typing import cast

import torch
from torch import Tensor, nn

from reprise.models.adaptive_head import AdaptiveHead
from reprise.models.dropouts import PieceDropout, place_dropout
from reprise.models.head import Head
from reprise.params.model import ModelParams

# What a body remembers between calls: for each layer a tuple of tensors whose first dimension is B.
State = list[tuple[Tensor, ...]]


class LanguageModel(nn.Module):
    """Token ids (B, T) and a state -> hidden states (B, T, E or H) and the next state.

    The head is apart (`model.head`), so that nobody needs the logits of all positions at once.
    Tied weights: Press and Wolf 2017, arXiv 1608.05859; where E differs from H, a projection
    stands between them.
    """

    def __init__(self, body: nn.Module, params: ModelParams, vocabulary_size: int) -> None:
        super().__init__()
        embedding_size, hidden_size = params.embedding_size, params.hidden_sizes[-1]
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        nn.init.normal_(self.embedding.weight, std=embedding_size**-0.5)
        self.body = body
        variational = params.variational_dropout
        self.embedding_dropout = PieceDropout(params.embedding_dropout)
        self.input_dropout = place_dropout(params.input_dropout, variational=variational)
        self.output_dropout = place_dropout(params.output_dropout, variational=variational)
        self.projection: nn.Module = nn.Identity()
        if params.tie_weights and embedding_size != hidden_size:
            self.projection = nn.Linear(hidden_size, embedding_size)
        self.head: Head | AdaptiveHead
        if params.adaptive_cutoffs:
            self.head = AdaptiveHead(vocabulary_size, params.head_size, params.adaptive_cutoffs)
            return
        self.head = Head(vocabulary_size, params.head_size, params.logit_soft_cap)
        if params.tie_weights:
            self.head.weight = cast(nn.Parameter, self.embedding.weight)

    @property
    def recurrent(self) -> bool:
        """True: the state carries over any length; False: it is a cache of keys and values."""
        return bool(self.body.recurrent)

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        hidden, _, state = self.regularized(ids, state)
        return hidden, state

    def regularized(self, ids: Tensor, state: State | None) -> tuple[Tensor, Tensor, State]:
        """As `forward`, and between the two the hidden states as they are before dropout."""
        embedded = self.embedding_dropout(self.embedding(ids), ids, self.embedding.num_embeddings)
        hidden, state = self.body(self.input_dropout(embedded), state)
        raw = self.projection(hidden)
        return self.output_dropout(raw), raw, state

    def parameter_count(self) -> int:
        """Numbers that are learnt; tied matrices count once."""
        return sum(parameter.numel() for parameter in self.parameters())


def detach(state: State) -> State:
    """The same state, through which no gradient flows back."""
    return [tuple(tensor.detach() for tensor in layer) for layer in state]


def select_rows(state: State, rows: Tensor) -> State:
    """The state of some of the B sequences."""
    return [tuple(tensor.index_select(0, rows) for tensor in layer) for layer in state]


def matmul_dtype(tensor: Tensor) -> torch.dtype:
    """The type that products are computed in: autocast's where it is on, else the tensor's."""
    device = tensor.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else tensor.dtype
