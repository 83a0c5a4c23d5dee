"""One key for a run: a hash of all that decides its result."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reprise.files import canonical_json, sha256_of
from reprise.source import ROOT, code_hash

DIGITS = 20  # of the hexadecimal hash: two of a billion runs agree by chance once in a million

# How a network is trained: on how many processes, which share what, and rows at once in each. This
# changes the order of sums, and with dropout what each process draws. The key does not cover it, so
# that a run goes on with other processes than it began with.
HOW = {"devices", "nodes", "strategy", "micro_batch_size"}


def run_key(
    settings: Mapping[str, Any],
    inputs: Mapping[str, str],
    machine: Mapping[str, Any],
    module: str,
    root: Path = ROOT,
) -> str:
    """From settings, hashes of the inputs, what `auto` became on the machine, and the code of
    `module` in the project at `root`; of the first and third all but `HOW`."""
    decides = {
        "settings": {
            section: {name: value for name, value in values.items() if name not in HOW}
            for section, values in settings.items()
        },
        "inputs": inputs,
        "machine": {name: value for name, value in machine.items() if name not in HOW},
        "code": code_hash(module, root),
    }
    return hashlib.sha256(canonical_json(decides).encode()).hexdigest()[:DIGITS]


def input_paths(encoded: Path) -> dict[str, Path]:
    """All that training reads, by its name in model.json."""
    return {
        **{f"{name}_ids": encoded / f"{name}.npy" for name in ("train", "valid")},
        **{f"{name}_documents": encoded / f"{name}.parquet" for name in ("train", "valid")},
        "vocabulary": encoded / "vocabulary.json",
    }


def input_hashes(**paths: Path) -> dict[str, str]:
    """SHA-256 of each input by its name."""
    return {name: sha256_of(path) for name, path in sorted(paths.items())}
