"""Dropout of more than single numbers, as recurrent networks need it.

Gal and Ghahramani 2016, arXiv 1512.05287; Merity, Keskar and Socher 2017, arXiv 1708.02182. What is
kept is scaled by 1 / (1 - p); in eval mode nothing is dropped. The masks come from torch's global
generator. (Weight dropout needs no class: it is nn.Dropout of a matrix, see RecurrentLayer.)

B sequences, T tokens, E numbers a token, V pieces in the vocabulary.
"""

from torch import Tensor, nn


def place_dropout(probability: float, *, variational: bool) -> nn.Module:
    """Dropout of (B, T, E): a mask for each sequence, or for each token of its own."""
    return SequenceDropout(probability) if variational else nn.Dropout(probability)


class SequenceDropout(nn.Dropout):
    """One mask for all T tokens of a sequence; each of the B sequences has another."""

    def forward(self, values: Tensor) -> Tensor:
        """(B, T, E) -> (B, T, E)"""
        if not self.training or not self.p:
            return values
        return values * nn.functional.dropout(
            values.new_ones(len(values), 1, values.shape[2]), self.p
        )


class PieceDropout(nn.Module):
    """Drops pieces of the vocabulary: in one call, all tokens of a piece or none.

    Equal to dropping rows of the embedding's matrix, without a copy of its V x E numbers.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.p = probability

    def forward(self, embedded: Tensor, ids: Tensor, vocabulary_size: int) -> Tensor:
        """Rows of the embedding (B, T, E) and their ids (B, T) -> (B, T, E)"""
        if not self.training or not self.p:
            return embedded
        scales = nn.functional.dropout(embedded.new_ones(vocabulary_size), self.p)
        return embedded * scales[ids].unsqueeze(-1)
