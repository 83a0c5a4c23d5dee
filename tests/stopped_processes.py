"""A stage of two processes without torch, which notes signals and saves slowly.

`python -m stopped_processes FOLDER MOMENT`: each leaves FOLDER/ready-RANK when it comes to the
MOMENT, loading or training; the first leaves FOLDER/saved when it has saved.
"""

import sys
import time
from pathlib import Path

import click

from reprise.cli import command
from reprise.errors import Interrupted
from reprise.interruption import StopRequest
from reprise.launching import Processes, must_start, one_voice, rank, run_processes


@command
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("moment")
def main(folder: Path, moment: str) -> None:
    wanted = Processes(2, 1, "ddp")
    if must_start(wanted):
        run_processes("stopped_processes", sys.argv[1:], wanted)
        return
    with one_voice():
        if moment == "loading":
            (folder / f"ready-{rank()}").touch()
            time.sleep(60)
        with StopRequest() as stop:
            (folder / f"ready-{rank()}").touch()
            while not (reason := stop.reason()):
                time.sleep(0.005)
            if not rank():
                time.sleep(0.5)
                (folder / "saved").touch()
            raise Interrupted(f"stopped by {reason}; saved")


if __name__ == "__main__":
    try:
        main()
    finally:
        time.sleep(0.5)  # as the end of an interpreter that has loaded much
