"""Train a network on the encoded documents.

in   data/encode/{train,valid}.npy, .parquet  ids and documents
     data/encode/vocabulary.json              number of pieces, and the boundary's id
out  data/train/model.safetensors             the weights that did best on valid
     data/train/model.json                    settings, what `auto` became, run key
     metrics/train.json                       best loss on valid, steps, tokens
     metrics/train.csv                        losses, rate and gradient norm by step

Where train.devices asks for several processes, this one starts them and looks after them; all of
them train, and the first of them writes.
"""

import sys
from pathlib import Path

from reprise.cli import StageReport, command, params_option, path_option


@command
@params_option
@path_option("--encoded", "data/encode", "Folder of the encoded splits.")
@path_option("--model", "data/train", "Folder for the weights and their settings.")
@path_option("--metrics", "metrics/train.json", "Where the figures go.")
@path_option("--log", "metrics/train.csv", "Where the losses by step go.")
def main(params_path: Path, encoded: Path, model: Path, metrics: Path, log: Path) -> None:
    """Train a network on the encoded documents."""
    from reprise.launching import Processes, must_start, one_voice, run_processes
    from reprise.params.loading import load_section
    from reprise.params.train import TrainParams

    processes = Processes.of(load_section(params_path, TrainParams))
    if must_start(processes):
        run_processes("stages.train", sys.argv[1:], processes)
        return
    with one_voice():
        train(params_path, encoded, model, metrics, log)


def train(params_path: Path, encoded: Path, model: Path, metrics: Path, log: Path) -> None:
    """What each process does."""
    from reprise.dataset import EncodedSplit
    from reprise.distribution import first_reason
    from reprise.energy import EnergyMeter
    from reprise.errors import Interrupted
    from reprise.event_log import EventLog
    from reprise.interruption import StopRequest
    from reprise.params.loading import load_section
    from reprise.params.model import ModelParams
    from reprise.params.run import RunParams
    from reprise.params.train import TrainParams
    from reprise.progress import Progress
    from reprise.speed import Speed
    from reprise.throughput import Throughput
    from reprise.tracking.description import curve_points, event_points
    from reprise.tracking.tracker import Tracker
    from reprise.tracking.training_record import end_of_training, start_of_training
    from reprise.training_run import TrainingRun

    report = StageReport("train")
    params = load_section(params_path, TrainParams)
    model_params = load_section(params_path, ModelParams)
    run_params = load_section(params_path, RunParams)
    valid = EncodedSplit.open_in(encoded, "valid")
    run = TrainingRun.prepare(params, model_params, encoded)
    training = run.training
    device, precision = training.fabric.device, run.settings["machine"]["precision"]
    speed = None
    if run.is_first and (run_params.tracking or params.tensorboard):
        size = run.settings["vocabulary_size"]
        speed = Speed.measured(model_params, size, params, device, precision)
    throughput = Throughput(device, EnergyMeter.of_training(params, device.type))
    with (
        run.limits_told(),
        StopRequest() as stop,
        start_of_training(params_path, run.settings, continues=training.step > 0)
        if run.is_first
        else Tracker() as tracker,
        EventLog.start(
            f"{run.settings['name']} {run.key}",
            wanted=params.tensorboard and run.is_first,
            step=training.step,
        ) as events,
        Progress("train", params.max_steps, "steps") as bar,
    ):
        bar.resume_at(training.step)
        pace = None
        for step in throughput.timed(run.steps()):
            valid_nats = None
            if step.number % params.steps_per_validation == 0 or training.finished:
                throughput.rest()
                valid_nats = training.valid_nats(valid)
                run.judge(valid_nats)
            if step.number % params.steps_per_log == 0 or valid_nats is not None:
                pace = throughput.report()
                row = training.add_row(step, valid_nats)
                figures = curve_points(row) | event_points(training.events())
                if speed and pace:
                    figures |= speed.figures(pace)
                tracker.log_metrics(figures, step.number)
                events.log(figures, step.number)
            reason = first_reason(training.fabric, stop.reason())
            saved = False
            if step.number % params.steps_per_checkpoint == 0 or training.finished or reason:
                throughput.rest()
                saved = run.save()
            note = f"{step.nats / step.tokens:.3f} nats/token"
            bar.advance(note=f"{note}, {pace}" if pace else note)
            if reason and not training.finished:
                raise Interrupted(
                    f"stopped by {reason} after step {step.number} of {params.max_steps}; "
                    f"{'saved' if saved else 'its weights are not sound'}; the same command goes "
                    f"on from {'here' if saved else 'the checkpoint before'}"
                )
        run.deliver(model, metrics, log)
        if run.is_first:
            tracker.log_figures(run.reckoning.tell())
            end_of_training(tracker, params_path, model, metrics, log)
    report.close(
        read=f"{training.tokens:,} tokens",
        wrote=f"{run.settings['parameters']:,} parameters, best after step {training.best_step}, "
        f"{training.best_nats:.4f} nats/token on valid",
    )


if __name__ == "__main__":
    main()
