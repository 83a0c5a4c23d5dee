"""The record of the runs in MLflow."""

from pathlib import Path

import click

from reprise.cli import command, params_option


@click.group()
def track() -> None:
    """Keep MLflow and DVC one record."""


@command
def sync() -> None:
    """Publish every run that commits, experiments and the workspace have and MLflow lacks.

    What DVC restored from its cache, what was made elsewhere and pulled, and what MLflow missed
    while it was away arrives with settings, curves, figures, files and model; what is there stays
    as it is.
    """
    from collections import Counter

    from reprise.errors import PipelineError
    from reprise.tracking import sync as runs

    if not Path("dvc.yaml").is_file():
        raise PipelineError("dvc.yaml: no such file; run from the project's folder")
    outcomes: Counter[str] = Counter()
    for name, outcome in runs.sync():
        outcomes[outcome] += 1
        if outcome != "there already":
            click.echo(f"{name}: {outcome}")
    told = ", ".join(f"{outcomes[outcome]} {outcome}" for outcome in runs.OUTCOMES)
    click.echo(f"{outcomes.total()} finished runs in git and DVC: {told}")
    if outcomes["not in the cache"]:
        click.echo("`dvc pull --all-commits` brings what a remote has; then run this again")


@command
@params_option
@click.option("--name", default="reprise", show_default=True, help="The registered model's name.")
@click.option("--alias", default="best", show_default=True, help="The alias that it gets.")
@click.option("--run", "run_id", help="A run's id.  [default: the best on valid]")
def register(params_path: Path, name: str, alias: str, run_id: str | None) -> None:
    """Give the model of the best run, by bits a byte on valid, a name and an alias.

    `mlflow models serve --model-uri models:/NAME@ALIAS` then serves it.
    """
    from reprise.params.loading import load_section
    from reprise.params.run import RunParams
    from reprise.tracking.registry import register as register_best

    experiment = load_section(params_path, RunParams).experiment
    found = register_best(experiment, name, alias, run_id)
    if found.passed_over:
        click.echo(f"{found.passed_over} runs passed over: they were scored on another valid text")
    click.echo(
        f"{found.uri} is version {found.version}: run {found.run_id} ({found.run_name}), "
        f"{found.figure:.4f} bits a byte on valid"
    )


track.add_command(sync)
track.add_command(register)
