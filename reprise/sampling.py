"""Text from a model, token by token: temperature, top-k, top-p, and a seed.

The same model, prompt and settings give the same text. V pieces in the vocabulary.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from reprise.models.language_model import LanguageModel, State
from reprise.tokenizer import Tokenizer


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn."""

    max_tokens: int
    temperature: float  # 0: the likeliest token
    top_k: int  # from the k likeliest; 0: from all
    top_p: float  # from the likeliest that together hold this probability
    window: int  # tokens that a transformer looks back on
    seed: int


@dataclass(frozen=True)
class Sample:
    tokens: tuple[int, ...]  # without the prompt and without the boundary
    ended: bool  # by the boundary, not by max_tokens


def sample(
    model: LanguageModel,
    prompt: Sequence[int],
    boundary: int,
    sampling: Sampling,
    device: torch.device,
) -> Sample:
    """Go on from the boundary and the prompt until the next boundary. `model` is in eval mode."""
    generator = torch.Generator().manual_seed(sampling.seed)
    reader = _Reader(model, sampling.window, device)
    reader.read([boundary, *prompt])
    tokens: list[int] = []
    while len(tokens) < sampling.max_tokens:
        token = draw(next_probabilities(reader.logits, sampling), generator)
        if token == boundary:
            return Sample(tuple(tokens), ended=True)
        tokens.append(token)
        reader.read([token])
    return Sample(tuple(tokens), ended=False)


def next_probabilities(logits: Tensor, sampling: Sampling) -> Tensor:
    """Logits (V,) -> what to draw from (V,), in float64 on the CPU, summing to 1.

    Temperature first, then the k likeliest, then of those the fewest that hold top_p of what is
    left. Equals are ranked by id.
    """
    logits = logits.cpu().double()
    ranked, tokens = logits.sort(descending=True, stable=True)
    if sampling.temperature == 0:
        kept = torch.ones(1, dtype=torch.float64)
    else:
        kept = torch.softmax((ranked - ranked[0]) / sampling.temperature, dim=0)
        kept = kept[: sampling.top_k or len(kept)]
        kept = kept / kept.sum()
        before = kept.cumsum(0) - kept  # what the likelier tokens hold together
        kept = kept[: int((before < sampling.top_p).sum())]
    return torch.zeros_like(logits).scatter(0, tokens[: len(kept)], kept / kept.sum())


def draw(probabilities: Tensor, generator: torch.Generator) -> int:
    return int(torch.multinomial(probabilities, 1, generator=generator))


class _Reader:
    """Feeds tokens to a model and knows the logits (V,) of the next one.

    A recurrent model's state holds all that was read. A transformer's cache takes up to `window`
    tokens; after that the last `window` tokens are read anew for each token.
    """

    def __init__(self, model: LanguageModel, window: int, device: torch.device) -> None:
        self.model, self.window, self.device = model, window, device
        self.state: State | None = None
        self.tokens: list[int] = []
        self.logits = torch.empty(0)

    @torch.no_grad()
    def read(self, tokens: Sequence[int]) -> None:
        if not self.model.recurrent:
            self.tokens = [*self.tokens, *tokens]
            if len(self.tokens) > self.window:
                self.tokens = tokens = self.tokens[-self.window :]
                self.state = None
        ids = torch.tensor([list(tokens)], device=self.device)
        hidden, self.state = self.model(ids, self.state)
        self.logits = self.model.head.logits(hidden[0, -1:])[0]


def samples_text(
    model: LanguageModel,
    tokenizer: Tokenizer,
    boundary: int,
    prompts: Sequence[str],
    sampling: Sampling,
    device: torch.device,
) -> str:
    """A page for reading: for each prompt a line about it, then prompt and continuation.

    Each has the seed after the one before, so that a prompt given twice is gone on with twice.
    """
    pieces = []
    for number, prompt in enumerate(prompts, start=1):
        ids = tokenizer.encode(prompt).tolist()
        of_prompt = replace(sampling, seed=sampling.seed + number - 1)
        found = sample(model, ids, boundary, of_prompt, device)
        end = "the model ended the text" if found.ended else "cut off"
        header = (
            f"=== {number} of {len(prompts)} · prompt {json.dumps(prompt, ensure_ascii=False)} · "
            f"{len(found.tokens)} tokens, {end} ==="
        )
        pieces.append(f"{header}\n{tokenizer.decode([*ids, *found.tokens])}\n")
    return "\n".join(pieces)
