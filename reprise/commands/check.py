"""Check the settings without running anything."""

from pathlib import Path

import click

from reprise.cli import command, params_option


@command
@params_option
def check(params_path: Path) -> None:
    """Tell all faults in the settings, before DVC takes away what a stage is about to replace."""
    from reprise.params.loading import check_params

    check_params(params_path)
    click.echo(f"{params_path}: sound")
