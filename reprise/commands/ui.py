"""Look at the runs."""

import os
from pathlib import Path

import click

from reprise.cli import command, params_option


@command
@params_option
@click.option("--port", default=5000, show_default=True, help="On this machine only.")
def ui(params_path: Path, port: int) -> None:
    """Open MLflow on the runs of this project, on loopback."""
    from reprise.params.loading import load_section
    from reprise.params.run import RunParams
    from reprise.tracking import runs_page, tracking_uri

    uri = tracking_uri()
    page = runs_page(f"http://127.0.0.1:{port}", load_section(params_path, RunParams).experiment)
    click.echo(f"The runs: {page}")
    address = ["--host", "127.0.0.1", "--port", str(port)]
    os.execlp("mlflow", "mlflow", "ui", "--backend-store-uri", uri, *address)
