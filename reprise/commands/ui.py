"""Look at the runs."""

import os
import socket
import sys
from pathlib import Path

import click

from reprise.cli import command, params_option
from reprise.errors import PipelineError


@command
@params_option
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=5000,
    show_default=True,
    help="On this machine only.",
)
def ui(params_path: Path, port: int) -> None:
    """Publish what MLflow lacks, as `reprise track sync`, then open it on the runs of this project.

    On loopback; for a server, its page is named.
    """
    from reprise.params.loading import load_section
    from reprise.params.run import RunParams
    from reprise.tracking.store import runs_page, tracking_uri
    from reprise.tracking.sync import sync

    uri = tracking_uri()
    is_server = uri.startswith(("http://", "https://"))
    if not is_server:
        _check_port(port)
    for name, outcome in sync():
        if outcome == "published":
            click.echo(f"{name}: {outcome}")
    address = uri.rstrip("/") if is_server else f"http://127.0.0.1:{port}"
    click.echo(f"The runs: {runs_page(address, load_section(params_path, RunParams).experiment)}")
    if not is_server:
        server = ["-m", "mlflow", "ui", "--backend-store-uri", uri]
        place = ["--host", "127.0.0.1", "--port", str(port)]
        os.execv(sys.executable, [sys.executable, *server, *place])


def _check_port(port: int) -> None:
    """MLflow would fail with a page of its own errors, and exit code 0."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that has just ended
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise PipelineError(
                f"--port: found {port}, which cannot be used ({error.strerror}); give another one"
            ) from None
