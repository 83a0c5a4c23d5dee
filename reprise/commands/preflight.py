"""Look at what a run will take before it is begun."""

from pathlib import Path

import click

from reprise.cli import command, params_option, path_option


@command
@params_option
@path_option("--catalog", "data/catalog.yaml", "The corpora that can be named.")
@path_option("--metrics", "metrics", "Folder of what earlier stages counted.")
@click.option("--json", "as_json", is_flag=True, help="For programs: bytes and seconds.")
def preflight(params_path: Path, catalog: Path, metrics: Path, as_json: bool) -> None:
    """Tell what each stage will take of memory, disk and time here; refuse what cannot fit.

    A few steps of the real network are timed, for some 15 seconds. Nothing is written.
    """
    import json
    import logging

    from reprise import preflight as library
    from reprise.errors import PipelineError

    logging.getLogger().setLevel(logging.WARNING)
    found = library.preflight(params_path, catalog, metrics)
    click.echo(json.dumps(found.as_dict(), indent=2) if as_json else found.text())
    if found.refusals:
        raise PipelineError(*found.refusals)
