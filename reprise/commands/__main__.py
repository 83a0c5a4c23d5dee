"""`reprise VERB`, or `python -m reprise.commands VERB`."""

import click

from reprise.commands.catalog import catalog
from reprise.commands.check import check
from reprise.commands.compare import compare
from reprise.commands.deps import deps
from reprise.commands.preflight import preflight
from reprise.commands.rerun import rerun
from reprise.commands.study import study
from reprise.commands.track import track
from reprise.commands.ui import ui
from reprise.commands.verify import verify


@click.group()
def reprise() -> None:
    """What people do beside the pipeline, which is run by `dvc repro`."""


reprise.add_command(catalog)
reprise.add_command(check)
reprise.add_command(compare)
reprise.add_command(deps)
reprise.add_command(preflight)
reprise.add_command(rerun)
reprise.add_command(track)
reprise.add_command(study)
reprise.add_command(ui)
reprise.add_command(verify)

if __name__ == "__main__":
    reprise()
