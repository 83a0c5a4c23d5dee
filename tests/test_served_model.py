"""What a served model answers: each text by itself, and one line for wrong parameters."""

from typing import Any

import pandas as pd
import pytest
import torch
from helpers import model_params
from mlflow.exceptions import MlflowException
from test_tokenizer import TEXTS, params

from reprise.models import build_model
from reprise.served_model import ServedModel
from reprise.tokenizer import Tokenizer
from reprise.tokenizer_training import train_tokenizer

torch.set_num_threads(1)

BOUNDARY = 1
WINDOW = 16


def served(architecture: str) -> ServedModel:
    """As `load_context` leaves it."""
    torch.manual_seed(2)
    served = ServedModel()
    served._tokenizer = Tokenizer(train_tokenizer(TEXTS, params(vocabulary_size=420)))
    model = build_model(model_params(architecture=architecture), served._tokenizer.size)
    served._model = model.eval()
    served._settings = {"boundary": BOUNDARY}
    served._window = WINDOW
    return served


def answer(model: ServedModel, texts: list[str], **wanted: Any) -> pd.DataFrame:
    return model.predict(None, pd.DataFrame({"text": texts}), {"max_tokens": 1} | wanted)


@pytest.mark.parametrize("architecture", ["lstm", "transformer"])
def test_a_text_has_the_probability_of_a_documents_beginning_whatever_stands_beside_it(
    architecture: str,
) -> None:
    model = served(architecture)
    texts = ["the cats", "sat on 3 mats", "", "sat on 3 mats"]
    found = answer(model, texts)
    for text, told in zip(texts, found["log_probability"], strict=True):
        ids = model._tokenizer.encode(text).tolist()
        assert len(ids) < WINDOW
        with torch.no_grad():
            hidden, _ = model._model(torch.tensor([[BOUNDARY, *ids][: max(1, len(ids))]]))
            log_p = torch.log_softmax(model._model.head.logits(hidden[0]), 1)
        expected = sum(log_p[place, token].item() for place, token in enumerate(ids))
        assert told == pytest.approx(expected, rel=1e-5)
    assert found["tokens"].tolist() == [len(model._tokenizer.encode(text)) for text in texts]
    assert answer(model, []).empty


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        ({"top_p": 0.0}, "params.top_p: found 0.0; input should be greater than 0"),
        ({"temperature": -1.0}, "params.temperature: found -1.0; input should be greater than"),
        ({"top_k": -5}, "params.top_k: found -5; input should be greater than or equal to 0"),
        ({"max_tokens": 0}, "params.max_tokens: found 0; input should be greater than or equal"),
        ({"seed": -1}, "params.seed: found -1; input should be greater than or equal to 0"),
        ({"top_q": 1}, "params.top_q: no such setting; allowed: max_tokens, temperature, top_k, "),
    ],
)
def test_wrong_parameters_are_told(wanted: dict[str, Any], line: str) -> None:
    with pytest.raises(MlflowException) as error:
        answer(served("rnn"), ["the "], **wanted)
    assert error.value.message.startswith(line)
    assert error.value.get_http_status_code() == 400
