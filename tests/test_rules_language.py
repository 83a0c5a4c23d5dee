"""The language of a document."""

import socket
from pathlib import Path
from typing import get_args

import pytest
from rule_settings import applied

from reprise.params.clean import LanguageCode
from reprise.rules import Drop
from reprise.rules.language import _detector

TEXTS = {
    "en": "The dog went to the wood with a bone and came home late at night.",
    "de": "Der Hund ging mit einem Knochen in den Wald und kam spät nach Hause.",
    "fr": "Le chien est allé dans la forêt avec un os et est rentré tard le soir.",
    "zh": "这只狗带着一根骨头走进了森林，晚上很晚才回家。",  # noqa: RUF001
    "ru": "Собака ушла в лес с костью и поздно вернулась домой.",  # noqa: RUF001
}


@pytest.mark.parametrize("code", TEXTS)
def test_the_wanted_languages_stay(code: str) -> None:
    text = TEXTS[code]
    assert applied(text, "language", language={"languages": [code, "eo"]})[0] == text
    assert applied(text, "language", language={"languages": []})[0] == text
    assert applied(text, "language", language={"languages": ["eo"]})[0] == Drop("other_language")


def test_capitals_and_lines_are_no_other_language() -> None:
    text = TEXTS["en"].upper().replace(" ", "\n")
    assert applied(text, "language")[0] == text


@pytest.mark.parametrize("text", ["", "12 34", "..."])
def test_what_is_no_language_is_uncertain(text: str) -> None:
    assert applied(text, "language", language={"languages": []})[0] == Drop("uncertain_language")


def test_a_score_below_the_least_is_uncertain() -> None:
    mixed = TEXTS["en"] + " " + TEXTS["de"]
    outcome, _ = applied(mixed, "language", language={"languages": [], "min_score": 0.999})
    assert outcome == Drop("uncertain_language")
    outcome, _ = applied(mixed, "language", language={"languages": [], "min_score": 0.0})
    assert outcome == mixed


def test_all_codes_of_the_model_are_known() -> None:
    model = _detector()._get_model(low_memory=True)
    labels, _ = model.predict("a text", k=1000, threshold=-1.0)
    assert sorted(label.removeprefix("__label__") for label in labels) == sorted(
        get_args(LanguageCode)
    )


def test_the_model_is_in_the_package_and_nothing_is_fetched_or_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked for")

    for name in ("HOME", "TMPDIR", "FTLANG_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    _detector.cache_clear()
    assert applied(TEXTS["en"], "language")[0] == TEXTS["en"]
    assert not any(tmp_path.iterdir())
