"""Dropout of single numbers, fast on a CPU too, and of more, as recurrent networks need it.

Srivastava et al. 2014; Gal and Ghahramani 2016, arXiv 1512.05287; Merity, Keskar and Socher 2017,
arXiv 1708.02182. What is kept is scaled by 1 / (1 - p); in eval mode nothing is dropped. The masks
come from torch's global generator.

B sequences, T tokens, E numbers a token, V pieces in the vocabulary.
"""

import torch
from torch import Tensor, nn

LEVELS = 1 << 16  # on a CPU p is rounded to one part of these


def dropout(values: Tensor, probability: float) -> Tensor:
    """Each number by itself: dropped with this probability, or scaled; any shape.

    torch draws a mask on a CPU one number at a time, which took a seventh of an LSTM's step; here
    64 random bits decide on four numbers.
    """
    if not values.is_cpu or torch.compiler.is_compiling():
        return nn.functional.dropout(values, probability)
    dropped = min(round(probability * LEVELS), LEVELS - 1)
    count = values.numel()
    bits = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    drawn = bits.view(torch.int16)[:count].view(values.shape)  # from -LEVELS / 2 on
    kept = (drawn >= dropped - LEVELS // 2).to(values.dtype)
    return values * kept.mul_(LEVELS / (LEVELS - dropped))


class Dropout(nn.Dropout):
    """`dropout` in training."""

    def forward(self, values: Tensor) -> Tensor:
        return dropout(values, self.p) if self.training and self.p else values


class SequenceDropout(Dropout):
    """One mask for all T tokens of a sequence; each of the B sequences has another."""

    def forward(self, values: Tensor) -> Tensor:
        """(B, T, E) -> (B, T, E)"""
        if not self.training or not self.p:
            return values
        return values * super().forward(values.new_ones(len(values), 1, values.shape[2]))


class PieceDropout(Dropout):
    """Drops pieces of the vocabulary: in one call, all tokens of a piece or none.

    Equal to dropping rows of the embedding's matrix, without a copy of its V x E numbers.
    """

    def forward(  # type: ignore[override]
        self, embedded: Tensor, ids: Tensor, vocabulary_size: int
    ) -> Tensor:
        """Rows of the embedding (B, T, E) and their ids (B, T) -> (B, T, E)"""
        if not self.training or not self.p:
            return embedded
        scales = dropout(embedded.new_ones(vocabulary_size), self.p)
        return embedded * scales[ids].unsqueeze(-1)


def place_dropout(probability: float, *, variational: bool) -> Dropout:
    """Dropout of (B, T, E): a mask for each sequence, or for each token of its own."""
    return SequenceDropout(probability) if variational else Dropout(probability)
