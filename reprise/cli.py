"""What all commands share: the --params option, logging, errors as plain lines, exit codes."""

import errno
import functools
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, ParamSpec

import click

from reprise.cores import choose_turns
from reprise.errors import PipelineError

P = ParamSpec("P")

log = logging.getLogger(__name__)

params_option = click.option(
    "--params",
    "params_path",
    type=click.Path(path_type=Path),
    default=Path("params.yaml"),
    show_default=True,
    help="The settings.",
)


def path_option(flag: str, default: str, text: str) -> Callable[[Any], Any]:
    """An option for a path; its default is the place in the committed pipeline."""
    return click.option(
        flag, type=click.Path(path_type=Path), default=Path(default), show_default=True, help=text
    )


def command(function: Callable[P, None]) -> click.Command:
    """A click command: logs to stderr; what a person can fix on plain lines, exit code 1."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        open_closed_streams()
        set_up_logging()
        choose_turns()
        try:
            function(*args, **kwargs)
        except PipelineError as error:
            fail(error)
        except OSError as error:
            if error.errno != errno.ENOSPC or error.filename:
                raise
            fail(PipelineError("what this command tells cannot be written: the disk is full"))

    return click.command(help=_first_paragraph(function.__doc__))(run)


def fail(error: PipelineError) -> NoReturn:
    for line in error.lines:
        click.echo(f"error: {line}", err=True)
    sys.exit(1)


def open_closed_streams() -> None:
    """In place of those that were closed (`2>&-`). Else the next file that is opened would have the
    number of one, and what libraries print there in it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115  to the process's end


def set_up_logging() -> None:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr
    )
    for noisy in ("alembic", "mlflow", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class StageReport:
    """The closing line of a stage: what went in, what came out, what was dropped, seconds."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.started = time.monotonic()

    def close(self, *, read: str, wrote: str, dropped: str = "nothing") -> None:
        seconds = time.monotonic() - self.started
        log.info("%s: in %s; out %s; dropped %s; %.1f s", self.stage, read, wrote, dropped, seconds)


def _first_paragraph(docstring: str | None) -> str:
    return (docstring or "").strip().split("\n\n")[0]
