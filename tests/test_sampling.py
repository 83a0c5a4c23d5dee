"""Sampling: distributions by hand, the same text for the same seed, caches that change nothing."""

import math
from collections import Counter

import pytest
import torch
from helpers import model_params

from reprise.models import LanguageModel, build_model
from reprise.params.tokenize import TokenizeParams
from reprise.sampling import Sampling, draw, next_probabilities, sample, samples_text
from reprise.tokenizer import Tokenizer
from reprise.tokenizer_training import train_tokenizer

torch.set_num_threads(1)

BOUNDARY = 1
VOCABULARY_SIZE = 19
CPU = torch.device("cpu")


def sampling_of(
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    *,
    max_tokens: int = 40,
    window: int = 100,
    seed: int = 1,
) -> Sampling:
    return Sampling(max_tokens, temperature, top_k, top_p, window, seed)


def small_model(architecture: str, *, can_end: bool = True) -> LanguageModel:
    torch.manual_seed(7)
    params = model_params(
        architecture=architecture,
        embedding_size=16,
        hidden_size=16,
        layers=2,
        heads=2,
        feedforward_size=24,
        dropout=0.0,
        tie_weights=False,
    )
    model = build_model(params, VOCABULARY_SIZE).eval()
    if not model.recurrent:  # fresh blocks add so little that the past would hardly matter
        with torch.no_grad():
            for parameter in model.body.parameters():
                parameter.mul_(10 if parameter.dim() == 2 else 1)
    if not can_end:
        with torch.no_grad():
            model.head.bias[BOUNDARY] = -1e9
    return model


# Probabilities 0.4, 0.1, 0.2, 0.3.
LOGITS = torch.tensor([0.4, 0.1, 0.2, 0.3]).log()


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (sampling_of(), [0.4, 0.1, 0.2, 0.3]),
        (sampling_of(temperature=0), [1, 0, 0, 0]),
        (sampling_of(temperature=0.5), [16 / 30, 1 / 30, 4 / 30, 9 / 30]),  # squares
        (sampling_of(top_k=1), [1, 0, 0, 0]),
        (sampling_of(top_k=2), [4 / 7, 0, 0, 3 / 7]),
        (sampling_of(top_k=9), [0.4, 0.1, 0.2, 0.3]),
        (sampling_of(top_p=0.3), [1, 0, 0, 0]),
        (sampling_of(top_p=0.5), [4 / 7, 0, 0, 3 / 7]),  # 0.4 is too little, 0.7 is enough
        (sampling_of(top_p=0.8), [4 / 9, 0, 2 / 9, 3 / 9]),
        (sampling_of(top_k=2, top_p=0.5), [1, 0, 0, 0]),  # 4/7 of what top_k left is enough
        (sampling_of(temperature=0.5, top_k=3), [16 / 29, 0, 4 / 29, 9 / 29]),
    ],
)
def test_what_is_drawn_from_is_what_a_hand_calculates(
    sampling: Sampling, expected: list[float]
) -> None:
    found = next_probabilities(LOGITS, sampling)
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


def test_of_equals_the_first_ids_are_kept() -> None:
    found = next_probabilities(torch.zeros(5), sampling_of(top_k=2))
    assert found.tolist() == [0.5, 0.5, 0, 0, 0]


def test_a_very_low_temperature_does_not_overflow() -> None:
    found = next_probabilities(torch.tensor([1000.0, -1000.0]), sampling_of(temperature=1e-9))
    assert found.tolist() == [1, 0]


def test_draws_follow_the_distribution() -> None:
    probabilities = next_probabilities(LOGITS, sampling_of())
    generator = torch.Generator().manual_seed(11)
    draws = 4000
    counts = Counter(draw(probabilities, generator) for _ in range(draws))
    expected = [draws * p for p in (0.4, 0.1, 0.2, 0.3)]
    chi_square = sum((counts[token] - of_it) ** 2 / of_it for token, of_it in enumerate(expected))
    assert chi_square < 16.27  # 3 degrees of freedom, exceeded once in 1,000


@pytest.mark.parametrize("architecture", ["rnn", "gru", "lstm", "transformer", "gpt2"])
@pytest.mark.parametrize("window", [100, 8, 1])
def test_temperature_0_takes_the_likeliest_token_of_the_text_read_anew(
    architecture: str, window: int
) -> None:
    model = small_model(architecture, can_end=False)
    prompt = [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    text = [BOUNDARY, *prompt]
    for _ in range(20):
        seen = text if model.recurrent else text[-window:]
        with torch.no_grad():
            hidden, _ = model(torch.tensor([seen]), None)
            text.append(int(model.head.logits(hidden[0, -1:]).argmax()))
    found = sample(
        model, prompt, BOUNDARY, sampling_of(temperature=0, max_tokens=20, window=window), CPU
    )
    assert list(found.tokens) == text[11:]
    assert not found.ended


@pytest.mark.parametrize("architecture", ["lstm", "transformer"])
def test_a_seed_gives_the_same_text_again_and_another_seed_another(architecture: str) -> None:
    model = small_model(architecture, can_end=False)
    first = sample(model, [5], BOUNDARY, sampling_of(seed=3), CPU)
    torch.manual_seed(99)
    assert sample(model, [5], BOUNDARY, sampling_of(seed=3), CPU) == first
    assert sample(model, [5], BOUNDARY, sampling_of(seed=4), CPU) != first


def test_the_boundary_ends_a_sample_and_is_no_part_of_it() -> None:
    model = small_model("lstm")
    with torch.no_grad():
        model.head.bias[BOUNDARY] = 1e9
    found = sample(model, [5], BOUNDARY, sampling_of(), CPU)
    assert found.ended
    assert found.tokens == ()


def test_an_empty_prompt_begins_at_the_boundary_alone() -> None:
    model = small_model("lstm", can_end=False)
    with torch.no_grad():
        hidden, _ = model(torch.tensor([[BOUNDARY]]), None)
        expected = int(model.head.logits(hidden[0]).argmax())
    found = sample(model, [], BOUNDARY, sampling_of(temperature=0, max_tokens=1), CPU)
    assert found.tokens == (expected,)


def letters() -> Tokenizer:
    """A vocabulary of characters."""
    params = TokenizeParams(
        model_file=None,
        model_sha256=None,
        type="char",
        vocabulary_size=8,  # unknown, the boundary, line end, tab and four letters
        character_coverage=1.0,
        byte_fallback=False,
        normalization="identity",
        user_defined_symbols=(),
        control_symbols=(),
        sample_bytes=1000,
        seed=1,
    )
    return Tokenizer(train_tokenizer(["abcd", "aabbccdd"], params))


def test_the_page_of_samples_names_each_prompt_and_how_it_ended() -> None:
    model, tokenizer = small_model("lstm"), letters()
    [c] = tokenizer.encode("c").tolist()
    with torch.no_grad():
        torch.nn.init.zeros_(model.head.weight)
        model.head.bias[c] = 1e9
    sampling = sampling_of(max_tokens=3)
    page = samples_text(model, tokenizer, BOUNDARY, ["", "a\nb"], sampling, CPU)
    assert page == (
        '=== 1 of 2 · prompt "" · 3 tokens, cut off ===\nccc\n'
        "\n"
        '=== 2 of 2 · prompt "a\\nb" · 3 tokens, cut off ===\na\nbccc\n'
    )
    with torch.no_grad():
        model.head.bias[BOUNDARY] = 1e12
    page = samples_text(model, tokenizer, BOUNDARY, ["ab"], sampling, CPU)
    assert page == '=== 1 of 1 · prompt "ab" · 0 tokens, the model ended the text ===\nab\n'


def test_a_prompt_given_twice_is_gone_on_with_in_two_ways() -> None:
    model, tokenizer = small_model("lstm", can_end=False), letters()
    with torch.no_grad():
        model.head.bias[tokenizer.size :] = -1e9
        model.head.bias[[0, 2, 3]] = -1e9  # <unk>, line end and tab
    page = samples_text(model, tokenizer, BOUNDARY, ["a", "a"], sampling_of(), CPU)
    first, second = (piece.splitlines()[1] for piece in page.split("\n\n"))
    assert len(first) == len(second) == 41
    assert first != second


def test_samples_of_a_known_source_have_its_frequencies() -> None:
    model = small_model("lstm")
    torch.nn.init.zeros_(model.head.weight)
    with torch.no_grad():
        model.head.bias.fill_(-math.inf)
        model.head.bias[2:5] = torch.tensor([0.5, 0.25, 0.25]).log()
    found = sample(model, [], BOUNDARY, sampling_of(max_tokens=2000), CPU)
    counts = Counter(found.tokens)
    expected = {2: 1000, 3: 500, 4: 500}
    chi_square = sum((counts[token] - of_it) ** 2 / of_it for token, of_it in expected.items())
    assert chi_square < 13.82  # 2 degrees of freedom, exceeded once in 1,000
    assert set(counts) == set(expected)
