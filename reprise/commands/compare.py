"""Compare finished runs."""

from pathlib import Path

import click

from reprise.cli import command


@command
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...")
@click.option("--markdown", type=click.Path(path_type=Path), help="Also as Markdown, to this file.")
@click.option("--html", type=click.Path(path_type=Path), help="Also as a page with loss curves.")
def compare(runs: tuple[str, ...], markdown: Path | None, html: Path | None) -> None:
    """Tell what differs between runs and whether the first is beaten, or whether it is noise.

    RUN is an id of MLflow, an experiment of DVC, a commit, branch or tag, `workspace`, or a file of
    settings. Runs that differ by their seed only are joined by commas: `a1,a2,a3 b1,b2,b3`.
    """
    import logging

    from reprise.comparing.blocks import as_markdown, as_text
    from reprise.comparing.comparison import compare as compare_runs
    from reprise.comparing.page import comparison_page
    from reprise.comparing.report import report
    from reprise.errors import PipelineError
    from reprise.files import write_text
    from reprise.runs.names import find_run
    from reprise.runs.records import read_run

    logging.getLogger().setLevel(logging.WARNING)
    if len(runs) < 2:
        raise PipelineError(f"one run was named, {runs[0]}; name at least two")
    names = [group.split(",") for group in runs]
    records = {name: read_run(find_run(name)) for name in {n: None for g in names for n in g}}
    comparison = compare_runs([[records[name] for name in group] for group in names])
    blocks = report(comparison)
    click.echo(as_text(blocks).strip())
    if markdown is not None:
        write_text(markdown, as_markdown(blocks))
    if html is not None:
        write_text(html, comparison_page(comparison, blocks))
