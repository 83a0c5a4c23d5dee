"""Run the pipeline again and prove that it gives what is committed: what `make ci` does."""

from pathlib import Path

import click

from reprise.cli import command, path_option

STEPS = ("restore", "repro", "outputs", "twice", "report")


@command
@click.argument("steps", nargs=-1, type=click.Choice(STEPS))
@click.option("--base", default="main", show_default=True, help="The commit to compare with.")
@path_option("--tiny", "recipes/tiny.yaml", "The settings for `twice`.")
@path_option("--report", "rerun/report.md", "The comparison to write, with a picture beside it.")
def rerun(steps: tuple[str, ...], base: str, tiny: Path, report: Path) -> None:
    """\b
    Run the pipeline again and tell every hash that is not as committed.
    STEPS are, by default all:
    restore  bring DVC's cache and run cache from its remote, if there is one
    repro    `dvc repro`: run what changed
    outputs  compare every output with the committed dvc.lock, where the inputs are the same
    twice    run the pipeline with the settings in --tiny twice, from nothing, in two folders
    report   write settings, figures and losses beside those of --base, in Markdown
    """
    from reprise.errors import PipelineError
    from reprise.reruns import rerun as library

    chosen = steps or STEPS
    if "report" in chosen:
        library.check_base(Path(), base)
    checks = []
    for check in library.checks_of(chosen, Path(), tiny):
        checks.append(check)
        click.echo(check.line)
    if "report" in chosen:
        library.report(Path(), base, report, checks)
        click.echo(f"{report}: beside {base}")
    if failing := [check for check in checks if check.fails]:
        raise PipelineError(
            f"{len(failing)} of {len(checks)} checks fail, the first at {failing[0].subject}"
        )
