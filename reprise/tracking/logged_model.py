"""A trained network as a model of MLflow, which `mlflow models serve` can run anywhere."""

import tempfile
from importlib.metadata import version
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import TYPE_CHECKING

from reprise.source import ROOT
from reprise.tracking.store import tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

NAME = "model"
NEEDED = ("mlflow", "numpy", "pandas", "protobuf", "pyarrow", "pydantic", "safetensors",
          "sentencepiece", "torch", "lightning-fabric", "orjson", "click", "filelock", "tqdm",
          "ruamel.yaml", "joblib", "psutil")  # fmt: skip


def log_model(
    client: "MlflowClient", run_id: str, weights: Path, settings: Path, vocabulary: Path
) -> None:
    """With signature, example, the package's code and the versions that it needs; once a run."""
    import mlflow
    import pandas as pd
    from mlflow.models import Model

    from reprise.served_model import EXAMPLE, SETTINGS, VOCABULARY, WEIGHTS, signature

    run = client.get_run(run_id)
    if run.outputs is not None and run.outputs.model_outputs:
        return
    mlflow.set_tracking_uri(tracking_uri())
    model = client.create_logged_model(
        run.info.experiment_id, name=NAME, source_run_id=run_id, model_type="language model"
    )
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / "reprise"
        copytree(ROOT / "reprise", code, ignore=ignore_patterns("__pycache__"))
        Model.log(
            None,
            mlflow.pyfunc,
            run_id=run_id,
            model_id=model.model_id,
            python_model=str(code / "served_model_entry.py"),
            artifacts={WEIGHTS: str(weights), SETTINGS: str(settings), VOCABULARY: str(vocabulary)},
            code_paths=[str(code)],
            signature=signature(),
            input_example=pd.DataFrame({"text": list(EXAMPLE)}),
            pip_requirements=[f"{name}=={_release(name)}" for name in NEEDED],
        )


def _release(package: str) -> str:
    return version(package).partition("+")[0]  # as a registry has it
