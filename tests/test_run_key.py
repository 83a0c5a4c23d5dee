"""The key changes with whatever decides the result, and with nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest

from reprise.machine import Machine
from reprise.run_key import input_hashes, run_key

MACHINE = Machine("cpu", "AVX2", "fp32", False, 2, "2.13.0")
SETTINGS = {"train": {"seed": 1, "learning_rate": 0.1}, "model": {"layers": 2}}
INPUTS = {"train_ids": "aa", "valid_ids": "bb"}


def key(settings: object = SETTINGS, inputs: object = INPUTS, machine: Machine = MACHINE) -> str:
    return run_key(settings, inputs, machine.as_dict(), "stages.train")  # type: ignore[arg-type]


def test_order_and_spelling_change_nothing() -> None:
    turned = {"model": {"layers": 2}, "train": {"learning_rate": 1e-1, "seed": 1}}
    assert key(turned) == key()
    assert len(key()) == 20


def test_settings_inputs_machine_and_code_each_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {
        key(),
        key(SETTINGS | {"model": {"layers": 3}}),
        key(inputs=INPUTS | {"train_ids": "ab"}),
        *(key(machine=replace(MACHINE, **change)) for change in (
            {"device": "cuda"}, {"hardware": "AMX"}, {"precision": "bf16"}, {"compiled": True},
            {"threads": 1}, {"torch": "2.12.0"},
        )),
    }  # fmt: skip
    monkeypatch.setattr("reprise.run_key.code_hash", lambda module, root: "other code")
    keys.add(key())
    assert len(keys) == 10


def test_a_run_keeps_its_key_on_other_processes() -> None:
    other = {"devices": 2, "nodes": 3, "strategy": "fsdp", "micro_batch_size": 4}
    assert key(SETTINGS | {"train": SETTINGS["train"] | other}) == key()


def test_inputs_are_named_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert input_hashes(ids=tmp_path / "a") == {"ids": expected}
