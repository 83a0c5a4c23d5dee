"""Prove what the project promises, on this machine."""

from pathlib import Path

import click

from reprise.cli import command, params_option, path_option


@click.group()
def verify() -> None:
    """Prove that training may be stopped, or that a finished run is what its records say."""


@command
@params_option
@path_option("--encoded", "data/encode", "Folder of the encoded splits; random ids without one.")
@click.option(
    "--steps",
    type=click.IntRange(min=4, max=1_000_000),
    default=6,
    show_default=True,
    help="Of the optimizer.",
)
def resume(params_path: Path, encoded: Path, steps: int) -> None:
    """Train some steps unbroken, repeated, and stopped and gone on with; compare every bit.

    The settings of model and train are taken as they are, but for their length. Nothing is written
    into the project.
    """
    from reprise.errors import PipelineError
    from reprise.params.loading import load_section
    from reprise.params.model import ModelParams
    from reprise.params.tokenize import TokenizeParams
    from reprise.params.train import TrainParams
    from reprise.resume_proof import prove_resume

    proof = prove_resume(
        load_section(params_path, ModelParams),
        load_section(params_path, TrainParams),
        encoded,
        load_section(params_path, TokenizeParams).vocabulary_size,
        steps,
    )
    click.echo(f"{steps} steps of {proof.subject}")
    for comparison in proof.comparisons:
        click.echo(comparison.line)
    if proof.remedy:
        raise PipelineError(proof.remedy)
    click.echo("a training that is stopped ends in the same bits as an unbroken one")


@command
@click.option(
    "--path",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    help="The project's folder.  [default: this one]",
)
def run(folder: Path) -> None:
    """Compute every hash of the finished run anew, and say what differs from its records."""
    from contextlib import chdir

    from reprise.errors import PipelineError
    from reprise.run_proof import run_checks

    checks = []
    with chdir(folder):
        for check in run_checks():
            checks.append(check)
            click.echo(check.line)
    failing = [check for check in checks if check.fails]
    if failing:
        raise PipelineError(
            f"{len(failing)} of {len(checks)} checks fail, the first at {failing[0].subject}"
        )
    click.echo(f"all {len(checks)} checks passed: the run is what its records say")


verify.add_command(resume)
verify.add_command(run)
