"""Look at the runs."""

import os

import click

from reprise.cli import command


@command
@click.option("--port", default=5000, show_default=True, help="On this machine only.")
def ui(port: int) -> None:
    """Open MLflow on the runs of this project, on loopback."""
    from reprise.tracking import tracking_uri

    uri = tracking_uri()
    os.execlp(
        "mlflow",
        "mlflow",
        "ui",
        "--backend-store-uri",
        uri,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    )
