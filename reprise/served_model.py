"""The model behind `mlflow models serve` and `mlflow.pyfunc.load_model`: texts in, what the model
makes of them out.

MLflow runs `reprise/served_model_entry.py` in a process of its own, with a copy of this package
beside it. Weights are safetensors and the vocabulary is SentencePiece's; nothing is unpickled.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from reprise.dataset import EncodedSplit
from reprise.evaluation import Scoring, score_split
from reprise.model_files import load_model
from reprise.params.base import Section, WholeNumber
from reprise.params.evaluate import Seed, Temperature, TopK, TopP
from reprise.params.loading import section_faults
from reprise.sampling import Sampling, sample
from reprise.tokenizer import Tokenizer

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

WEIGHTS, SETTINGS, VOCABULARY = "weights", "settings", "vocabulary"  # MLflow's names of the files
BATCH_TOKENS = 8192
EXAMPLE = ("Return the ",)


class ServedModel(PythonModel):
    """A table with the column `text` -> the same rows with

    - `completion`: how the model goes on from the text, without it;
    - `log_probability`: of the text, in nats, as the beginning of a document;
    - `tokens`: of the text; `log_probability` is the sum over them.
    """

    def load_context(self, context: PythonModelContext) -> None:
        paths = {name: Path(path) for name, path in context.artifacts.items()}
        self._model, self._settings = load_model(paths[WEIGHTS], paths[SETTINGS])
        self._tokenizer = Tokenizer.load(paths[VOCABULARY])
        self._window: int = self._settings["settings"]["train"]["sequence_length"]

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        sampling = wanted_sampling(params or {}, self._window)
        texts = [str(text) for text in model_input["text"]]
        ids = [self._tokenizer.encode(text) for text in texts]
        boundary, device = self._settings["boundary"], torch.device("cpu")
        completions = [
            self._tokenizer.decode(sample(self._model, row, boundary, sampling, device).tokens)
            for row in (row.tolist() for row in ids)
        ]
        return pd.DataFrame(
            {
                "completion": completions,
                "log_probability": np.array([self._log_probability(row) for row in ids], float),
                "tokens": np.array([len(row) for row in ids], np.int64),
            }
        )

    def _log_probability(self, ids: Any) -> float:
        """Of one text, (T,) ids; transformers look back on at least half of their window."""
        # One at a time: texts in a row would each begin with the last token of the one before.
        split = EncodedSplit(ids, np.array([0, len(ids)]), self._settings["boundary"])
        scoring = Scoring("document", self._window, -(-self._window // 2), BATCH_TOKENS)
        nats = score_split(self._model, split, scoring, torch.device("cpu")).nats
        return 0.0 - float(nats[0])


class SamplingParams(Section):
    """What a request may set beside the texts."""

    max_tokens: WholeNumber
    temperature: Temperature
    top_k: TopK
    top_p: TopP
    seed: Seed


def sampling_defaults() -> dict[str, Any]:
    return {"max_tokens": 100, "temperature": 0.8, "top_k": 0, "top_p": 0.95, "seed": 1}


def wanted_sampling(params: Mapping[str, Any], window: int) -> Sampling:
    """MlflowException, which a server answers with status 400, where `params` are wrong."""
    wanted = {
        name: getattr(value, "item", lambda value=value: value)()  # numpy's, in MLflow's hands
        for name, value in {**sampling_defaults(), **params}.items()
    }
    if faults := section_faults("params", SamplingParams, wanted):
        raise MlflowException.invalid_parameter_value("\n".join(faults))
    return Sampling(window=window, **wanted)


def signature() -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    kinds = {int: DataType.long, float: DataType.double}
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string, "text")]),
        outputs=Schema(
            [
                ColSpec(DataType.string, "completion"),
                ColSpec(DataType.double, "log_probability"),
                ColSpec(DataType.long, "tokens"),
            ]
        ),
        params=ParamSchema(
            [
                ParamSpec(name, kinds[type(value)], value)
                for name, value in sampling_defaults().items()
            ]
        ),
    )
