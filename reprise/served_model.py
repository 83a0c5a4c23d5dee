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
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from reprise.dataset import EncodedSplit
from reprise.evaluation import Scoring, score_split
from reprise.model_files import load_model
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
        wanted = {**sampling_defaults(), **(params or {})}
        sampling = Sampling(window=self._window, **wanted)
        texts = [str(text) for text in model_input["text"]]
        ids = [self._tokenizer.encode(text) for text in texts]
        boundary, device = self._settings["boundary"], torch.device("cpu")
        completions = [
            self._tokenizer.decode(sample(self._model, row, boundary, sampling, device).tokens)
            for row in (row.tolist() for row in ids)
        ]
        lengths = [len(row) for row in ids]
        return pd.DataFrame(
            {
                "completion": completions,
                "log_probability": self._log_probabilities(ids, lengths),
                "tokens": np.array(lengths, np.int64),
            }
        )

    def _log_probabilities(self, ids: list[Any], lengths: list[int]) -> Any:
        """Of each text (B,), float64; transformers look back on at least half of their window."""
        offsets = np.cumsum([0, *lengths]).astype(np.int64)
        whole = np.concatenate([np.zeros(0, np.int32), *ids])
        split = EncodedSplit(whole, offsets, self._settings["boundary"])
        window = self._window
        scoring = Scoring("document", window, -(-window // 2), BATCH_TOKENS)
        if not split.tokens:
            return np.zeros(len(lengths))
        return -score_split(self._model, split, scoring, torch.device("cpu")).nats


def sampling_defaults() -> dict[str, Any]:
    """What a request may set beside the texts."""
    return {"max_tokens": 100, "temperature": 0.8, "top_k": 0, "top_p": 0.95, "seed": 1}


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
