"""Token ids on disk, and the batches that training takes from them.

A split is one memory-mapped array of ids, documents end to end, the boundary id after each. Every
token is predicted from the one before it; the first token of a document from the boundary before.

The order of an epoch is a pure function of (seed, epoch): documents are shuffled and laid end to
end. Recurrent models cut this line into B parallel streams and carry their state along each;
transformers see its windows in a second shuffle. Either way each token is predicted exactly once an
epoch, and batch number n is the same whether or not the batches before it were ever made.

B rows of a batch, T tokens.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reprise.arrow import numbers_in
from reprise.errors import PipelineError
from reprise.files import read_json
from reprise.params.train import TrainParams

Ids = npt.NDArray[np.integer]
NO_TARGET = -1
SHORTEST_SEGMENT = 5  # tokens
LARGEST_VOCABULARY = 2**31  # pieces
CHECKED_AT_ONCE = 1 << 20  # tokens


def vocabulary_in(encoded: Path) -> dict[str, int]:
    """vocabulary_size, and boundary's id, as the encode stage left them in the folder."""
    path = encoded / "vocabulary.json"
    found = read_json(path)
    for name in ("vocabulary_size", "boundary"):
        if not isinstance(found, dict) or not isinstance(found.get(name), int):
            raise PipelineError(f"{path}: {name} is missing; run `dvc repro -f encode`")
    size, boundary = found["vocabulary_size"], found["boundary"]
    if not 0 <= boundary < size <= LARGEST_VOCABULARY:
        raise PipelineError(
            f"{path}: vocabulary_size is {size} and boundary {boundary}; allowed: a size up to "
            f"{LARGEST_VOCABULARY}, a boundary from 0 below it; run `dvc repro -f encode`"
        )
    return dict(found)


@dataclass(frozen=True)
class EncodedSplit:
    """One split: ids (N,) uint16 or uint32; document d is ids[offsets[d]:offsets[d + 1]]."""

    ids: Ids
    offsets: npt.NDArray[np.int64]
    boundary: int

    @classmethod
    def open(cls, ids_path: Path, documents_path: Path, boundary: int) -> Self:
        try:
            ids = np.load(ids_path, mmap_mode="r")
            tokens = numbers_in(documents_path, "tokens")
        except (OSError, ValueError, EOFError) as error:
            reason = str(error).partition("\n")[0]
            raise PipelineError(
                f"{ids_path}: cannot be read: {reason}; run `dvc repro -f encode`"
            ) from None
        if ids.ndim != 1 or ids.dtype.kind != "u":
            raise PipelineError(
                f"{ids_path}: found an array of {ids.dtype} with {ids.ndim} dimensions; expected: "
                "whole numbers from 0, in one; run `dvc repro -f encode`"
            )
        offsets = np.concatenate([[0], np.cumsum(tokens)]).astype(np.int64)
        if offsets[-1] != len(ids):
            raise PipelineError(
                f"{ids_path}: {len(ids)} ids, but {documents_path} speaks of {offsets[-1]}; "
                "run `dvc repro -f encode`"
            )
        return cls(ids, offsets, boundary)

    @classmethod
    def open_in(cls, folder: Path, split: str) -> Self:
        """The split as the encode stage left it in `folder`."""
        boundary = vocabulary_in(folder)["boundary"]
        return cls.open(folder / f"{split}.npy", folder / f"{split}.parquet", boundary)

    def check_ids(self, name: str, vocabulary_size: int) -> None:
        """PipelineError where there are none, or some beyond the vocabulary."""
        if not self.tokens:
            raise PipelineError(f"the {name} split has no tokens; take more text")
        for start in range(0, self.tokens, CHECKED_AT_ONCE):
            largest = int(self.ids[start : start + CHECKED_AT_ONCE].max())
            if largest >= vocabulary_size:
                raise PipelineError(
                    f"the {name} split has id {largest}, but the vocabulary only "
                    f"{vocabulary_size} pieces; run `dvc repro -f encode`"
                )

    @property
    def documents(self) -> int:
        return len(self.offsets) - 1

    @property
    def tokens(self) -> int:
        return len(self.ids)

    def documents_at(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The document that each of these tokens belongs to."""
        return np.searchsorted(self.offsets, positions, side="right") - 1


@dataclass(frozen=True)
class Batch:
    """Ids and their next ids, both (B, T) int64; targets are NO_TARGET where a row has ended."""

    inputs: Tensor
    targets: Tensor
    fresh: bool  # the state before it is the initial one

    @property
    def tokens(self) -> int:
        """Those that are predicted."""
        return int((self.targets != NO_TARGET).sum())

    def rows(self, chosen: slice) -> "Batch":
        """Some of the rows; where there are none, one in which nothing is predicted."""
        inputs, targets = self.inputs[chosen], self.targets[chosen]
        if not len(inputs):
            inputs, targets = self.inputs[:1], torch.full_like(self.targets[:1], NO_TARGET)
        return Batch(inputs, targets, self.fresh)


class Batches(Protocol):
    """Batch number n, counted over all epochs, as a pure function of n."""

    def __getitem__(self, number: int) -> Batch: ...

    def epochs(self, batches: int) -> float:
        """How often all of the split was seen after so many batches."""


class _Line:
    """The documents of one epoch in shuffled order, laid end to end."""

    def __init__(self, split: EncodedSplit, seed: int, epoch: int) -> None:
        self.split = split
        self.order = np.random.default_rng([seed, epoch]).permutation(split.documents)
        lengths = np.diff(split.offsets)[self.order]
        self.starts = np.concatenate([[0], np.cumsum(lengths)])

    def read(self, start: int, stop: int) -> Ids:
        """Tokens start to stop of the line; position -1 is a boundary."""
        ids, offsets, boundary = self.split.ids, self.split.offsets, self.split.boundary
        pieces = []
        if start < 0:
            pieces.append(np.array([boundary], dtype=ids.dtype))
            start = 0
        place = int(np.searchsorted(self.starts, start, side="right")) - 1
        while start < stop:
            document = self.order[place]
            end = min(stop, int(self.starts[place + 1]))
            first = int(offsets[document] - self.starts[place])
            pieces.append(ids[first + start : first + end])
            start, place = end, place + 1
        return np.concatenate(pieces)


def _batch(line: _Line, spans: list[tuple[int, int]], fresh: bool) -> Batch:
    longest = max(stop - start for start, stop in spans)
    inputs = np.full((len(spans), longest), line.split.boundary, dtype=np.int64)
    targets = np.full((len(spans), longest), NO_TARGET, dtype=np.int64)
    for row, (start, stop) in enumerate(spans):
        if start < stop:
            tokens = line.read(start - 1, stop)
            inputs[row, : stop - start] = tokens[:-1]
            targets[row, : stop - start] = tokens[1:]
    return Batch(torch.from_numpy(inputs), torch.from_numpy(targets), fresh)


class StreamBatches:
    """B parallel streams, some T tokens of each at a time; row b goes on where row b stopped."""

    def __init__(
        self,
        split: EncodedSplit,
        batch_size: int,
        sequence_length: int,
        seed: int,
        *,
        variable_length: bool = False,
    ) -> None:
        check_sizes(split.tokens, batch_size, sequence_length)
        self.split, self.seed, self.batch_size = split, seed, batch_size
        self.sequence_length, self.variable_length = sequence_length, variable_length
        self.stream_length = -(-split.tokens // batch_size)
        self._line = lru_cache(maxsize=1)(lambda epoch: _Line(split, seed, epoch))
        self._segments = lru_cache(maxsize=1)(self._draw_segments)
        self._first = [0]  # batch of each epoch whose length is known, and of the one after

    def __getitem__(self, number: int) -> Batch:
        epoch = self._epoch(number)
        ends = self._segments(epoch)
        segment = number - self._first[epoch]
        from_start = int(ends[segment - 1]) if segment else 0
        spans = []
        for row in range(self.batch_size):
            begin = min(row * self.stream_length, self.split.tokens)
            end = min(begin + self.stream_length, self.split.tokens)
            spans.append(
                (min(begin + from_start, end), min(begin + int(ends[segment]), end)),
            )
        return _batch(self._line(epoch), spans, fresh=segment == 0)

    def epochs(self, batches: int) -> float:
        epoch = self._epoch(batches)
        return epoch + (batches - self._first[epoch]) / len(self._segments(epoch))

    def _epoch(self, number: int) -> int:
        while self._first[-1] <= number:
            epoch = len(self._first) - 1
            self._first.append(self._first[-1] + len(self._segments(epoch)))
        return int(np.searchsorted(self._first, number, side="right")) - 1

    def _draw_segments(self, epoch: int) -> npt.NDArray[np.int64]:
        """Where in its stream each segment of the epoch ends.

        Of variable length: T with a probability of 0.95, else T / 2, and to that a normal deviation
        of 5 tokens (Merity et al. 2018, 1708.02182, section 4.1).
        """
        length, stream = self.sequence_length, self.stream_length
        if not self.variable_length:
            return np.append(np.arange(length, stream, length), stream)
        random = np.random.default_rng([self.seed, epoch, 2])
        count = 2 * stream // max(length, 2 * SHORTEST_SEGMENT) + 1  # enough in the mean
        ends = np.array([0])
        while ends[-1] < stream:
            base = np.where(random.random(count) < 0.95, length, length / 2)
            lengths = np.maximum(random.normal(base, 5).astype(np.int64), SHORTEST_SEGMENT)
            ends = np.concatenate([ends, ends[-1] + np.cumsum(lengths)])
        ends = ends[1:]
        return np.append(ends[ends < stream], stream)


class WindowBatches:
    """Windows of T tokens in shuffled order, B at a time; an epoch's last batch has the rest."""

    def __init__(self, split: EncodedSplit, batch_size: int, sequence_length: int, seed: int):
        check_sizes(split.tokens, batch_size, sequence_length)
        self.split, self.seed = split, seed
        self.batch_size, self.sequence_length = batch_size, sequence_length
        self.windows = -(-split.tokens // sequence_length)
        self._per_epoch = -(-self.windows // batch_size)
        self._line = lru_cache(maxsize=1)(lambda epoch: _Line(split, seed, epoch))
        self._order = lru_cache(maxsize=1)(
            lambda epoch: np.random.default_rng([seed, epoch, 1]).permutation(self.windows)
        )

    def __getitem__(self, number: int) -> Batch:
        epoch, place = divmod(number, self._per_epoch)
        chosen = self._order(epoch)[place * self.batch_size : (place + 1) * self.batch_size]
        length = self.sequence_length
        spans = [
            (int(window) * length, min((int(window) + 1) * length, self.split.tokens))
            for window in chosen
        ]
        return _batch(self._line(epoch), spans, fresh=True)

    def epochs(self, batches: int) -> float:
        return batches / self._per_epoch


def batches_for(params: TrainParams, split: EncodedSplit, *, recurrent: bool) -> Batches:
    """What a network of this kind is trained on."""
    sizes = (split, params.batch_size, params.sequence_length, params.seed)
    if recurrent:
        return StreamBatches(*sizes, variable_length=params.variable_length)
    return WindowBatches(*sizes)


def check_sizes(tokens: int, batch_size: int, sequence_length: int) -> None:
    """PipelineError where the `tokens` of train are fewer than what a step wants of them."""
    for name, value in (("batch_size", batch_size), ("sequence_length", sequence_length)):
        if value > tokens:
            raise PipelineError(
                f"train.{name}: found {value}, but the train split has {tokens} tokens; "
                f"allowed: 1 to {tokens}, or take more text"
            )
