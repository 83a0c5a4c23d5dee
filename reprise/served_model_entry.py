"""Run by MLflow where it loads the model: code instead of a pickle."""

from mlflow.models import set_model

from reprise.served_model import ServedModel

set_model(ServedModel())
