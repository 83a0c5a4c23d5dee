"""Dynamic evaluation: the weights go on learning from the text that they have predicted.

Krause et al. 2018, arXiv 1709.07432, section 3. The split is read as one stream, a segment after
the other; each is scored first and then moves every weight w by

    - learning_rate g / (r + epsilon) + min(1, decay r / mean(r)) (trained w - w)

where g is the gradient of the segment's mean nats, r the root mean square of such gradients on
train, and mean(r) the mean over all weights. A weight that usually has large gradients is so moved
less and drawn back more. The paper takes r from batches of many segments; here from single ones,
as those that move the weights. A recurrent network carries its state along; a transformer sees
with each segment so many tokens before it that they fill its window. Dropout is off throughout.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from reprise.dataset import EncodedSplit
from reprise.errors import PipelineError
from reprise.evaluation import Floats, Indices, evaluating, inputs_at, token_nats
from reprise.models.language_model import LanguageModel, detach
from reprise.progress import Progress


@dataclass(frozen=True)
class Pace:
    """How fast the weights are moved, and how often."""

    learning_rate: float
    decay: float  # 0 to 1
    epsilon: float  # above 0
    segment: int  # tokens
    window: int  # tokens that a transformer sees at once; from `segment` on

    def settings(self) -> dict[str, Any]:
        return {
            "learning_rate": self.learning_rate,
            "decay": self.decay,
            "epsilon": self.epsilon,
            "segment": self.segment,
        }


@dataclass(frozen=True)
class DynamicEvaluation:
    pace: Pace
    usual_gradients: list[Tensor]  # root mean square, of each of the model's parameters
    train_tokens: int  # that these were taken from

    name = "dynamic_evaluation"
    column = "dynamic_nats"

    @classmethod
    def prepare(
        cls,
        model: LanguageModel,
        train: EncodedSplit,
        pace: Pace,
        max_tokens: int,
        device: torch.device,
    ) -> Self:
        """With the usual gradients on the first `max_tokens` of train."""
        weights = list(model.parameters())
        squares = [torch.zeros_like(weight) for weight in weights]
        tokens = min(max_tokens, train.tokens)
        segments = 0
        label = f"{cls.name}: gradients on train"
        with evaluating(model), Progress(label, tokens, "tokens") as progress:
            for segment in _segments(model, train, tokens, pace, device):
                for square, gradient in zip(squares, segment.gradients(model), strict=True):
                    square.addcmul_(gradient, gradient)
                segments += 1
                progress.advance(len(segment.positions))
        return cls(pace, [(square / segments).sqrt() for square in squares], tokens)

    def settings(self) -> dict[str, Any]:
        return {"context": "stream", **self.pace.settings(), "train_tokens": self.train_tokens}

    def document_nats(
        self, model: LanguageModel, split: EncodedSplit, device: torch.device
    ) -> Floats:
        """Nats of each document; the model's weights are the trained ones again afterwards.
        PipelineError where they run away on the way."""
        nats = np.zeros(split.documents)
        weights = list(model.parameters())
        sums = [usual.sum() for usual in self.usual_gradients]
        mean = torch.stack(sums).sum() / model.parameter_count()
        mean.clamp_(min=torch.finfo(mean.dtype).tiny)  # where the model is sure of all tokens
        pulls = [(self.pace.decay * usual / mean).clamp(max=1) for usual in self.usual_gradients]
        scales = [usual + self.pace.epsilon for usual in self.usual_gradients]
        with (
            evaluating(model),
            restoring(weights) as trained,
            Progress(self.name, split.tokens, "tokens") as progress,
        ):
            for segment in _segments(model, split, split.tokens, self.pace, device):
                documents = split.documents_at(segment.positions)
                of_tokens = segment.nats(model).cpu().double().numpy()
                if not np.isfinite(of_tokens).all():
                    raise PipelineError(
                        f"evaluate.dynamic_learning_rate: found {self.pace.learning_rate:g}, with "
                        f"which the model has no finite loss after {segment.positions[0]:,} "
                        "tokens; lower it, or raise evaluate.dynamic_epsilon (now "
                        f"{self.pace.epsilon:g})"
                    )
                np.add.at(nats, documents, of_tokens)
                gradients = segment.gradients(model)
                for weight, gradient, scale, pull, goal in zip(
                    weights, gradients, scales, pulls, trained, strict=True
                ):
                    weight.lerp_(goal, pull)
                    weight.addcdiv_(gradient, scale, value=-self.pace.learning_rate)
                progress.advance(len(segment.positions))
        return nats


@dataclass(frozen=True)
class _Segment:
    positions: Indices  # (N,)
    hidden: Tensor  # (N, E), through which gradients flow back
    targets: Tensor  # (N,)

    def nats(self, model: LanguageModel) -> Tensor:
        """Of each token, (N,)."""
        return token_nats(model, self.hidden, self.targets)

    def gradients(self, model: LanguageModel) -> tuple[Tensor, ...]:
        """Of the mean nats, for each of the model's parameters."""
        with torch.enable_grad():
            loss = model.head(self.hidden, self.targets) / len(self.targets)
        return torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True)


def _segments(
    model: LanguageModel, split: EncodedSplit, tokens: int, pace: Pace, device: torch.device
) -> Iterator[_Segment]:
    """The first tokens of the split; each segment by the weights at the time it is asked for."""
    state = None
    for start in range(0, tokens, pace.segment):
        stop = min(start + pace.segment, tokens)
        begin = start if model.recurrent else max(0, stop - pace.window)
        positions = np.arange(begin, stop)
        inputs = torch.from_numpy(inputs_at(split, positions[None])).to(device)
        with torch.enable_grad():
            hidden, state = model(inputs, state)
            hidden = hidden[0, start - begin :]  # (N, E)
        state = detach(state) if model.recurrent else None
        targets = torch.from_numpy(split.ids[start:stop].astype(np.int64)).to(device)
        yield _Segment(positions[start - begin :], hidden, targets)


@contextmanager
def restoring(weights: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Copies of the weights, to which they are set again in the end, whatever happens."""
    trained = [weight.detach().clone() for weight in weights]
    try:
        yield trained
    finally:
        for weight, goal in zip(weights, trained, strict=True):
            weight.detach().copy_(goal)
