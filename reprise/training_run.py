"""A run of training from its beginning, settings and files, to its end, a model delivered."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from filelock import FileLock

from reprise.checkpoint import CheckpointFolder
from reprise.dataset import Batches, EncodedSplit, batches_for, check_sizes, vocabulary_in
from reprise.distribution import fabric_for
from reprise.dvc_hashes import dvc_md5
from reprise.errors import PipelineError
from reprise.files import read_json, sha256_of, write_json, write_text
from reprise.launching import Processes
from reprise.machine import Machine, missing_kernel_told, resolve
from reprise.memory import holes_given_back
from reprise.memory_fit import out_of_memory_told, rows_at_once, step_memory
from reprise.model_files import save_model
from reprise.models import build_model
from reprise.params.model import ModelParams
from reprise.params.train import TrainParams
from reprise.reckoning import Reckoning
from reprise.run_key import input_hashes, input_paths, run_key
from reprise.training import NotFiniteError, Step, Training, step_seed
from reprise.training_log import rows_as_csv
from reprise.unigram import Unigram

log = logging.getLogger(__name__)

LOCK = Path("dvc.lock")


@dataclass
class TrainingRun:
    """A run in one of its processes. The first of them reads and writes for all.

    It may go on with other processes than it began with; model.json tells which had which steps.
    """

    key: str
    settings: dict[str, Any]  # what model.json says
    processes: list[dict[str, Any]]  # their rows at once, and the step that they went on after
    training: Training
    batches: Batches
    checkpoints: CheckpointFolder
    lock: FileLock | None  # held until the process ends, the first of several
    reckoning: Reckoning
    fault: NotFiniteError | None = None  # found outside of the steps, to be rolled back from

    @classmethod
    def prepare(cls, params: TrainParams, model_params: ModelParams, encoded: Path) -> Self:
        """Ready for the next step: the first, or the one after the newest whole checkpoint."""
        params.check_network(model_params)
        model_params.check_window("train.sequence_length", params.sequence_length)
        machine = resolve(params, model_params)
        processes = Processes.of(params)
        fabric = fabric_for(machine, processes, deterministic=params.deterministic)
        vocabulary_size = vocabulary_in(encoded)["vocabulary_size"]
        split, valid = (EncodedSplit.open_in(encoded, name) for name in ("train", "valid"))
        for name, each in (("train", split), ("valid", valid)):
            each.check_ids(name, vocabulary_size)
        check_sizes(split.tokens, params.batch_size, params.sequence_length)
        inputs = input_hashes(**input_paths(encoded))
        chosen = {"model": model_params.model_dump(), "train": params.model_dump()}
        memory = step_memory(model_params, vocabulary_size, params, machine)
        rows = rows_at_once(memory, params)
        resolved = machine.as_dict() | {"micro_batch_size": rows}
        key = run_key(chosen, inputs, resolved, "stages.train")
        torch.manual_seed(step_seed(params.seed, -1))  # step 0 and those after it have their own
        model = build_model(model_params, vocabulary_size)
        if model_params.initial_head_bias == "unigram":
            surprise = Unigram.count(split, vocabulary_size).surprise
            model.head.begin_with(torch.from_numpy(surprise))
        settings = {
            "run_key": key,
            "name": run_name(model_params, params),
            "settings": chosen,
            "machine": resolved,
            "inputs": inputs,
            "vocabulary_size": vocabulary_size,
            "boundary": split.boundary,
            "parameters": model.parameter_count(),
        }
        checkpoints = CheckpointFolder.of_run(
            key, params.kept_checkpoints, params.steps_per_checkpoint
        )
        run = cls(
            key=key,
            settings=settings,
            processes=[{"from_step": 0, **processes.as_dict(), "micro_batch_size": rows}],
            training=Training(fabric, model, params, rows),
            batches=batches_for(params, split, recurrent=model.recurrent),
            checkpoints=checkpoints,
            lock=checkpoints.lock() if fabric.is_global_zero else None,
            reckoning=Reckoning(memory, rows, params, valid.tokens),
        )
        if machine.compiled:
            run.training.compile()
        run._tell(machine, processes, split)
        with run.limits_told():
            run._resume()
        return run

    @contextmanager
    def limits_told(self) -> Iterator[None]:
        """Inside, running out of memory is one line that says what took it; so is a kernel that
        the device does not have."""
        reckoning = self.reckoning
        with (
            missing_kernel_told(),
            out_of_memory_told(reckoning.memory, reckoning.params, reckoning.rows),
        ):
            yield

    def steps(self) -> Iterator[Step]:
        """Train to the end; where a step fails and the settings say so, from a checkpoint again."""
        while not self.training.finished:
            try:
                steps = holes_given_back(self.training.steps(self.batches))
                for step in self.reckoning.timed(steps):
                    yield step
                    if self.fault:
                        raise self.fault
            except NotFiniteError as fault:
                self.fault = None
                self.training.roll_back(self._newest(scheduled=True), fault)
                if self.is_first:
                    self.checkpoints.remove_after(self.training.step)

    def judge(self, valid_nats: float) -> None:
        """As `Training.judge`, and told; a loss that is no number is a fault of the step that led
        there."""
        training = self.training
        try:
            training.judge(valid_nats)
        except NotFiniteError as fault:
            if training.params.not_finite != "roll_back":
                raise
            self.fault, training.finished = fault, False
            return
        best = f"best {training.best_nats:.4f} after step {training.best_step}"
        if training.best_step == training.step:
            best = "the best so far"
        elif training.finished and training.step < training.params.max_steps:
            best += f"; not better {training.poor_validations} times: training ends here"
        log.info("step %d: valid %.4f nats/token, %s", training.step, valid_nats, best)

    def save(self) -> bool:
        """A checkpoint, and whether there is one; none of weights that are no longer finite, which
        the next step will tell."""
        if self.fault:
            return False
        try:
            state = self.training.state() | {"processes": self.processes}
        except NotFiniteError:
            if self.training.params.not_finite != "roll_back" or self.training.finished:
                raise
            return False
        if self.is_first:
            self.checkpoints.save(self.training.step, state)
            self.reckoning.checkpoints = max(self.reckoning.checkpoints, self.checkpoints.bytes())
        return True

    @property
    def is_first(self) -> bool:
        """The one process, or of several the one that writes."""
        return bool(self.training.fabric.is_global_zero)

    def deliver(self, folder: Path, metrics: Path, log_path: Path) -> None:
        """Write the best weights, their settings, the figures and the losses by step."""
        training, weights_path = self.training, folder / "model.safetensors"
        if not self.is_first:
            return
        figures = {
            "best_step": training.best_step,
            "best_valid_nats_per_token": round(training.best_nats, 6),
            "steps": training.step,
            "tokens": training.tokens,
            "epochs": round(self.batches.epochs(training.step), 3),
            **training.events(),
            "parameters": self.settings["parameters"],
        }
        save_model(
            weights_path,
            folder / "model.json",
            training.best_weights,
            self.settings | figures | {"processes": self.processes},
        )
        write_text(log_path, rows_as_csv(training.rows))
        write_json(metrics, figures)
        self._compare_with_earlier(weights_path)
        self.checkpoints.clear(keep=1)

    def _tell(self, machine: Machine, processes: Processes, split: EncodedSplit) -> None:
        params = self.training.params
        log.info(
            "run %s: %s, %s parameters, on %s (%s) in %s with %d threads%s, %d rows at once; "
            "%s tokens, seen about %.3g times in %d steps",
            self.key,
            self.settings["name"],
            f"{self.settings['parameters']:,}",
            machine.device,
            machine.hardware,
            machine.precision,
            machine.threads,
            f" and {processes.count} processes ({processes.strategy})"
            if processes.count > 1
            else "",
            self.reckoning.rows,
            f"{split.tokens:,}",
            params.max_steps * params.batch_size * params.sequence_length / split.tokens,
            params.max_steps,
        )

    def _newest(self, *, scheduled: bool = False) -> dict[str, Any] | None:
        """The newest checkpoint, read by the first process for all; None where it begins anew."""
        state = self._newest_whole(scheduled) if self.is_first else None
        if state and state["finished"] and (why := self._why_again(state)):
            log.info("run %s %s: training anew to compare", self.key, why)
            self.checkpoints.clear()
            write_json(self._delivery, {**(self._delivered() or {}), "repeating": True})
            state = None
        return self.training.fabric.broadcast(state)

    def _newest_whole(self, scheduled: bool) -> dict[str, Any] | None:
        """Where a fault leads back, the checkpoint of a stop counts only with the one before it
        that every run makes: a run would else go back elsewhere than one that was not stopped."""
        state, params = self.checkpoints.newest(scheduled=scheduled), self.training.params
        since = state["step"] % params.steps_per_checkpoint if state else 0
        if state is None or not since or state["finished"] or params.not_finite != "roll_back":
            return state
        base = self.checkpoints.newest(scheduled=True)
        step, due = base["step"] if base else 0, state["step"] - since
        if step == due:
            return state
        log.warning("the checkpoint of step %d is needed too: going back to step %d", due, step)
        self.checkpoints.remove_after(step)
        return base

    def _why_again(self, finished: dict[str, Any]) -> str | None:
        """Why a finished run is trained again; None where it was not delivered yet."""
        delivered = self._delivered()
        if not delivered or delivered.get("repeating"):
            return None
        same = delivered["processes"] == finished["processes"]
        if same and _others(finished["processes"][-1], self.processes[-1]):
            return "was finished by other processes, or with other rows at once"
        return f"is recorded in {LOCK} already" if self._is_recorded(delivered) else None

    def _resume(self) -> None:
        state = self._newest()
        if state is None:
            return
        self.training.restore(state)
        (now,), self.processes = self.processes, state["processes"]
        if not self.training.finished and _others(now, self.processes[-1]):
            self.processes.append(now | {"from_step": self.training.step})
        log.info("going on after step %d of %d", self.training.step, self.training.params.max_steps)

    @property
    def _delivery(self) -> Path:
        return self.checkpoints.folder / "delivered.json"

    def _is_recorded(self, delivered: dict[str, Any]) -> bool:
        """DVC has taken up what this key delivered: this is a second run, no rescue."""
        return LOCK.is_file() and delivered["md5"].encode() in LOCK.read_bytes()

    def _delivered(self) -> dict[str, Any] | None:
        """What this key delivered before; None for nothing, and for a broken file."""
        if not self._delivery.exists():
            return None
        try:
            found = read_json(self._delivery)
        except PipelineError as error:
            log.warning("%s", str(error).partition(";")[0])
            return None
        whole = isinstance(found, dict) and {"sha256", "md5", "processes"} <= found.keys()
        return found if whole else None

    def _compare_with_earlier(self, weights_path: Path) -> None:
        delivery = {
            "sha256": sha256_of(weights_path),
            "md5": dvc_md5(weights_path, Path()),
            "processes": self.processes,
        }
        if earlier := self._delivered():
            answer = "the same bytes" if earlier["md5"] == delivery["md5"] else "OTHER BYTES"
            if earlier["processes"] != self.processes:
                answer += ", by other processes"
            log.info("run %s was run before: %s", self.key, answer)
        write_json(self._delivery, delivery)


def _others(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether these two entries of `processes` differ in more than where they begin."""
    return one | {"from_step": 0} != other | {"from_step": 0}


def run_name(model: ModelParams, train: TrainParams) -> str:
    """Tells runs apart at a glance."""
    size = f"{model.architecture}-{max(model.hidden_sizes)}x{model.layers}"
    return f"{size} {train.optimizer} {train.learning_rate:g}"
