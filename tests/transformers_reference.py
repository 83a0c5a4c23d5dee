"""Hugging Face's transformers beside ours: the same weights, texts, and gradients by our names."""

from collections.abc import Callable
from typing import Any

import torch
from helpers import model_params
from torch import Tensor, nn

from reprise.models import LanguageModel, build_model

PIECES = 50
ROWS = 3
Weights = dict[str, Tensor]
ByOurNames = Callable[[nn.Module, Callable[[nn.Parameter], Tensor]], Weights]


def ids(length: int) -> Tensor:
    return torch.randint(0, PIECES, (ROWS, length), generator=torch.Generator().manual_seed(5))


def shaken(theirs: nn.Module) -> nn.Module:
    """No norm's weight stays one, no bias zero."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return theirs.eval()


def with_their_weights(theirs: nn.Module, by_our_names: ByOurNames, **settings: Any) -> Any:
    """Ours with all weights of the body and the embedding copied over."""
    model = build_model(model_params(dropout=0.0, tie_weights=False, **settings), PIECES).eval()
    weights = by_our_names(theirs, lambda parameter: parameter.data)
    missing, unknown = model.load_state_dict(weights, strict=False)
    assert (missing, unknown) == (["head.weight", "head.bias"], [])
    return model


def assert_equal_gradients(
    ours: LanguageModel, theirs: nn.Module, by_our_names: ByOurNames
) -> None:
    expected = by_our_names(theirs, lambda parameter: parameter.grad)
    found = {name: p.grad for name, p in ours.named_parameters() if not name.startswith("head.")}
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert gradient.abs().max() > 1e-3, name  # else the tolerance would hide it
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-5, msg=name)


def assert_equal_with_gradients(
    ours: LanguageModel, theirs: nn.Module, by_our_names: ByOurNames, parts: list[int]
) -> None:
    """Hidden states and gradients of a text read in `parts` of so many tokens, each with the cache
    of those before it; the keys and values in the caches; and theirs of the text read at once."""
    text = ids(sum(parts))
    found, expected, state, cache = [], [], None, None
    for part in text.split(parts, dim=1):
        hidden, state = ours(part, state)
        output = theirs(input_ids=part, cache=cache, use_cache=True)
        cache = output.cache
        found.append(hidden)
        expected.append(output.last_hidden_state)
    close = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(torch.cat(found, 1), torch.cat(expected, 1), **close)
    at_once = theirs(input_ids=text).last_hidden_state
    torch.testing.assert_close(torch.cat(found, 1), at_once, **close)
    assert state is not None
    for (key, value), layer in zip(state, cache.layers, strict=True):
        torch.testing.assert_close(key.transpose(1, 2), layer.keys, **close)
        torch.testing.assert_close(value.transpose(1, 2), layer.values, **close)
    outer = torch.randn(ours(text)[0].shape, generator=torch.Generator().manual_seed(7))
    for hidden in (torch.cat(found, 1), torch.cat(expected, 1)):
        (hidden * outer).mean(dim=(0, 1)).sum().backward()
    assert_equal_gradients(ours, theirs, by_our_names)
