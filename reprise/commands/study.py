"""Questions answered by many runs: studies/*.yaml."""

from pathlib import Path

import click

from reprise.cli import command, path_option

studies_option = path_option("--studies", "studies", "Folder of the studies.")
reports_option = path_option("--reports", "docs/studies", "Folder of the reports.")


@click.group()
def study() -> None:
    """Answer a question by many runs: which vocabulary, network, data or optimizer is better?"""


@command
@studies_option
def list_studies(studies: Path) -> None:
    """Name, points and title of each study."""
    from reprise.errors import PipelineError
    from reprise.studies.study import load_study, names_of_studies

    if not studies.is_dir():
        raise PipelineError(
            f"{studies}: no such folder; run from the project's folder or give --studies"
        )
    for name in names_of_studies(studies):
        loaded = load_study(studies, name)
        click.echo(f"{name:20}  {len(loaded.points):3} points  {loaded.file.title}")


@command
@click.argument("name")
@studies_option
def points(name: str, studies: Path) -> None:
    """Each point with the sizes that were solved for it; nothing is run."""
    from reprise.studies.study import load_study, short_name

    for point in load_study(studies, name).points:
        sizes = (f"{short_name(setting)} {value:,}" for setting, value in point.solved.items())
        click.echo("  ".join([point.label, *sizes]))


@command
@click.argument("name")
@studies_option
@reports_option
def run(name: str, studies: Path, reports: Path) -> None:
    """Run the points that are not done yet, each as an experiment of DVC, and write the report.

    A point that fails keeps no other from running, and is tried again by the next `study run`.
    """
    from reprise.errors import PipelineError
    from reprise.studies.report import write_report
    from reprise.studies.running import run_study
    from reprise.studies.study import load_study

    loaded = load_study(studies, name)
    states = run_study(loaded, Path())
    failed = [state for state in states if not state.experiment]
    if len(failed) < len(states):
        click.echo(f"{len(states) - len(failed)} of {len(states)} points are done")
        click.echo(write_report(loaded, states, Path(), reports / name))
    if failed:
        raise PipelineError(
            *(f"{state.point.label}: {state.error}; see {state.log}" for state in failed),
            f"{len(failed)} of {len(states)} points failed; `reprise study run {name}` tries them "
            "again, and no others",
        )


@command
@click.argument("name")
@studies_option
@reports_option
def report(name: str, studies: Path, reports: Path) -> None:
    """Write the report anew from the points that are done."""
    from reprise.studies.frozen_project import FrozenProject
    from reprise.studies.report import write_report
    from reprise.studies.running import point_states
    from reprise.studies.study import load_study

    loaded = load_study(studies, name)
    states = point_states(loaded, Path(), FrozenProject(Path()))
    click.echo(write_report(loaded, states, Path(), reports / name))


study.add_command(list_studies, "list")
study.add_command(points)
study.add_command(run)
study.add_command(report)
