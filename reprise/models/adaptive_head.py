"""A head for large vocabularies: frequent pieces at once, rarer ones in groups of smaller matrices.

Grave et al. 2017, 1609.04309; torch's module does the work. It pays where ids are in the order of
frequency, as SentencePiece's nearly are after the special and the byte pieces.

N positions, E numbers in a hidden state, V pieces in the vocabulary.
"""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from reprise.errors import PipelineError
from reprise.models.head import rows_at_once, rows_scored_at_once
from reprise.params.model import ADAPTIVE_SHRINKS_BY


class AdaptiveHead(nn.Module):
    """As Head: hidden states and targets -> nats, the logits of all positions never in memory."""

    def __init__(self, vocabulary_size: int, size: int, cutoffs: tuple[int, ...]) -> None:
        super().__init__()
        if cutoffs[-1] >= vocabulary_size:
            raise PipelineError(
                f"model.adaptive_cutoffs: found {cutoffs[-1]}, but the vocabulary has "
                f"{vocabulary_size} pieces; allowed: numbers below that"
            )
        self.groups = nn.AdaptiveLogSoftmaxWithLoss(
            size, vocabulary_size, cutoffs, div_value=ADAPTIVE_SHRINKS_BY, head_bias=True
        )
        nn.init.zeros_(self.groups.head.bias)
        self.vocabulary_size = vocabulary_size

    @torch.no_grad()
    def begin_with(self, nats: Tensor) -> None:
        """As Head's, for the first group's pieces and for each other group as a whole; the pieces
        inside of those have no bias, and begin alike."""
        ends = self.groups.cutoffs
        groups = [torch.logsumexp(-nats[start:stop], 0) for start, stop in pairwise(ends)]
        self.groups.head.bias.copy_(torch.cat([-nats[: ends[0]], torch.stack(groups)]))

    def forward(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Hidden (..., E), targets (...) -> the sum of -log p(target), a scalar in float32.

        Negative targets count nothing.
        """
        hidden, targets = hidden.reshape(-1, hidden.shape[-1]), targets.reshape(-1)
        places = (targets >= 0).nonzero().squeeze(1)
        hidden, targets = hidden[places].float(), targets[places]
        total = 0 * hidden.sum()  # has a gradient where nothing is predicted, too
        for weight in self._not_met(targets):
            total = total + 0 * weight.sum()
        rows = rows_at_once(self.vocabulary_size, hidden)
        for start in range(0, len(targets), rows):
            piece = slice(start, start + rows)
            total = total + checkpoint(
                self._nats, hidden[piece], targets[piece], use_reentrant=False
            )
        return total

    def _not_met(self, targets: Tensor) -> Iterator[Tensor]:
        """The weights that the loss of these targets does not depend on. With a gradient of zeros
        the optimizer treats them alike in one process and in several, which meet different ones
        and wait for each other's gradients."""
        if not len(targets):
            yield from self.groups.head.parameters()
        for group, (start, stop) in zip(
            self.groups.tail, pairwise(self.groups.cutoffs), strict=True
        ):
            if not ((targets >= start) & (targets < stop)).any():
                yield from group.parameters()

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden (N, E) -> log-probabilities (N, V) in float32; the caller keeps N small."""
        with _exact_softmax(hidden.device.type):
            log_p: Tensor = self.groups.log_prob(hidden.float())
        return log_p.float()

    @property
    def rows_scored_at_once(self) -> int:
        return rows_scored_at_once(self.vocabulary_size)

    def _nats(self, hidden: Tensor, targets: Tensor) -> Tensor:
        with _exact_softmax(hidden.device.type):
            nats: Tensor = -self.groups(hidden, targets).output.float().sum()
        return nats


def _exact_softmax(device: str) -> torch.autocast:
    """As it is, but on a CPU without autocast, which leaves log_softmax in bfloat16 there: too
    few digits, and torch's module cannot put its parts together then."""
    wanted = torch.is_autocast_enabled(device) and device != "cpu"
    return torch.autocast(device, torch.get_autocast_dtype(device), enabled=wanted)
