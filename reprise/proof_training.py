"""One of the trainings that `reprise verify resume` compares, as each of its processes does it."""

import logging
import math
import os
from pathlib import Path

import click

from reprise.cli import command


@command
@click.argument("place", type=click.Path(path_type=Path))
@click.argument("training")
@click.argument("stop", type=int)
def main(place: Path, training: str, stop: int) -> None:
    """Train with the settings in PLACE/params.json, from the newest checkpoint in PLACE/TRAINING to
    step STOP, and save."""
    from reprise.launching import one_voice

    logging.getLogger().setLevel(logging.WARNING)
    with one_voice():
        train_until(place, training, stop)


def train_until(place: Path, name: str, stop: int) -> None:
    """Leaves in PLACE/NAME.json what model.json would say, beside the checkpoints' folder."""
    from reprise.dataset import EncodedSplit
    from reprise.distribution import first_reason
    from reprise.errors import Interrupted
    from reprise.files import read_json, write_json
    from reprise.interruption import StopRequest
    from reprise.params.model import ModelParams
    from reprise.params.train import TrainParams
    from reprise.training_run import TrainingRun

    os.environ["DVC_ROOT"] = str(place / name)  # of the checkpoints
    encoded, params = place / "encode", read_json(place / "params.json")
    train = TrainParams.model_validate(params["train"])
    run = TrainingRun.prepare(train, ModelParams.model_validate(params["model"]), encoded)
    valid, training = EncodedSplit.open_in(encoded, "valid"), run.training
    if training.step == 0 and train.averaging == "triggered":
        # As if valid had been better before: the average starts at the first validation.
        training.average.losses = [-math.inf] * (train.averaging_patience + 1)
    with run.limits_told(), StopRequest() as request:
        for step in run.steps():
            if reason := first_reason(training.fabric, request.reason()):
                raise Interrupted(f"stopped by {reason}")
            if step.number % train.steps_per_validation == 0 or training.finished:
                valid_nats = training.valid_nats(valid)
                training.judge(valid_nats)
                training.add_row(step, valid_nats)
            if step.number == stop:
                run.save()
                break
    if run.is_first:
        write_json(place / f"{name}.json", run.settings)


if __name__ == "__main__":
    main()
