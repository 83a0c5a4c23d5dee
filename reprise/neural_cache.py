"""Neural cache: the model's predictions mixed with a pointer to the tokens just seen.

Grave et al. 2017, arXiv 1612.04426, section 3: with h_t the hidden state that predicts token t,

    p(w) = (1 - weight) p_model(w) + weight p_cache(w)
    p_cache(w) ~ sum over cached i with token i = w of exp(flatness h_t . h_i)

The cache holds the pairs (h_i, token i) of the last `tokens` tokens before t, as far as the model
itself may look back by name of its context: those of the same document, or of the whole stream.
Where there are none, the model predicts alone. Nothing is learnt and no weight changes.

N positions scored together, C cached tokens, E numbers in a hidden state.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reprise.dataset import EncodedSplit
from reprise.evaluation import (
    Floats,
    Indices,
    Scoring,
    evaluating,
    hidden_states_in_order,
    token_nats,
)
from reprise.models.language_model import LanguageModel
from reprise.progress import Progress

SIMILARITIES_AT_ONCE = 4_000_000  # numbers: 16 MB in float32, of the order of a processor's cache


@dataclass(frozen=True)
class NeuralCache:
    tokens: int  # the last ones, that are pointed to
    weight: float  # of the cache in the mixture; 0 to below 1
    flatness: float  # 0: all cached tokens count the same
    scoring: Scoring

    name = "neural_cache"
    column = "cache_nats"

    def settings(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "weight": self.weight, "flatness": self.flatness}

    def document_nats(
        self, model: LanguageModel, split: EncodedSplit, device: torch.device
    ) -> Floats:
        """The mixture's nats of each document."""
        nats = np.zeros(split.documents)
        rows = max(1, min(self.tokens, SIMILARITIES_AT_ONCE // (2 * self.tokens)))
        cached, first = None, 0  # hidden states (C, E) of the positions from `first` on
        with evaluating(model), Progress(self.name, split.tokens, "tokens") as progress:
            for positions, hidden in hidden_states_in_order(model, split, self.scoring, device):
                for begin in range(0, len(positions), rows):
                    piece = positions[begin : begin + rows]
                    states = hidden[begin : begin + rows]
                    earliest = self._earliest(split, piece)
                    forgotten = max(0, int(earliest[0]) - first)
                    cached = states if cached is None else torch.cat([cached[forgotten:], states])
                    first += forgotten
                    of_piece = self._nats(model, split, piece, earliest, states, cached, first)
                    np.add.at(nats, split.documents_at(piece), of_piece.cpu().double().numpy())
                progress.advance(len(positions))
        return nats

    def _earliest(self, split: EncodedSplit, positions: Indices) -> Indices:
        """The first position that each of these may point to; its own where there is none."""
        earliest = np.maximum(0, positions - self.tokens)
        if self.scoring.context == "document":
            earliest = np.maximum(earliest, split.offsets[split.documents_at(positions)])
        return earliest

    def _nats(
        self,
        model: LanguageModel,
        split: EncodedSplit,
        positions: Indices,
        earliest: Indices,
        states: Tensor,  # (N, E)
        cached: Tensor,  # (C, E), the last N are `states`
        first: int,  # the position of the first cached token
    ) -> Tensor:
        """-ln of the mixture at each of the positions, (N,)."""

        def on_device(values: Indices) -> Tensor:
            return torch.from_numpy(values).to(states.device)

        pointed_to = on_device(np.arange(first, first + len(cached)))  # (C,)
        ids = on_device(split.ids[first : first + len(cached)].astype(np.int64))
        targets = ids[len(cached) - len(states) :]
        seen = pointed_to >= on_device(earliest)[:, None]
        seen &= pointed_to < on_device(positions)[:, None]  # (N, C)
        exponents = (self.flatness * (states @ cached.t())).float()
        exponents = exponents.masked_fill_(~seen, -math.inf)
        right = exponents.masked_fill(ids != targets[:, None], -math.inf)
        log_cache = right.logsumexp(1) - exponents.logsumexp(1)
        log_model = -token_nats(model, states, targets)
        log_mixture = torch.logaddexp(
            log_model + math.log1p(-self.weight),
            log_cache + (math.log(self.weight) if self.weight else -math.inf),
        )
        return -torch.where(seen.any(1), log_mixture, log_model)
