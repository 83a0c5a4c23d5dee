"""Runs against a baseline: what differs in settings and data, in figures, and what is noise.

A group is one run, or several that differ by their seed only; its figure is the mean of theirs. All
figures are of the test split. Documents are resampled for all runs at once (`bootstrap`), and the
noise of seeds is added to that of the choice of text (`seed_noise`), as variances of what does not
depend on each other are: the sum is the margin that a difference must exceed.

N documents, R draws of them.
"""

import hashlib
import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from reprise.comparing.bootstrap import Floats, Interval, percentile_interval, resampled_sums
from reprise.comparing.seed_noise import SeedNoise, default_noise, measured_noise
from reprise.errors import PipelineError
from reprise.runs.files import VOCABULARY
from reprise.runs.records import DATA, TEXTS, RunRecord

MIN_DOCUMENTS = 10  # fewer say too little about others
SEED = "train.seed"
NOTHING = "-"
WORD_ENDS = "evaluate.word_ends"

Word = Literal["better", "worse", "within noise"]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    name: str
    path: tuple[str, ...]  # in metrics/evaluate.json, below test
    part: str  # column of documents.parquet that is summed
    whole: str  # column whose sum it is divided by
    value: Callable[[Values], Values]  # of the ratio of the sums
    decimals: int = 4

    def of(self, record: RunRecord) -> float | None:
        found: Any = record.test
        for name in self.path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found


def _bits(ratio: Values) -> Values:
    return ratio / math.log(2)


def _same(ratio: Values) -> Values:
    return ratio


BITS = Figure("bits a byte", ("bits_per_byte",), "nats", "bytes", _bits)
FIGURES = (
    BITS,
    Figure("nats a token", ("nats_per_token",), "nats", "tokens", _same),
    Figure("perplexity a token", ("perplexity_per_token",), "nats", "tokens", np.exp, 3),
    Figure("perplexity a word", ("perplexity_per_word",), "nats", "word_ends", np.exp, 2),
    Figure("top-1 accuracy", ("top1_accuracy",), "top1", "tokens", _same),
    Figure("top-5 accuracy", ("top5_accuracy",), "top5", "tokens", _same),
    Figure("bits a byte, dynamic evaluation", ("dynamic_evaluation", "bits_per_byte"),
           "dynamic_nats", "bytes", _bits),
    Figure("bits a byte, neural cache", ("neural_cache", "bits_per_byte"), "cache_nats", "bytes",
           _bits),
)  # fmt: skip


@dataclass(frozen=True)
class Group:
    letter: str
    runs: tuple[RunRecord, ...]

    @property
    def first(self) -> RunRecord:
        return self.runs[0]

    def values(self, figure: Figure) -> list[float]:
        """Of each run; PipelineError cannot come of it where `_obstacle` found nothing."""
        return [value for run in self.runs if (value := figure.of(run)) is not None]


@dataclass(frozen=True)
class Compared:
    """One figure of two groups."""

    figure: Figure
    ours: list[float]  # the baseline's, one a run
    theirs: list[float]
    of_text: Interval | None  # of the difference, by documents
    of_seeds: SeedNoise | None  # where seeds were given
    remark: str = ""

    @property
    def difference(self) -> float:
        return statistics.fmean(self.theirs) - statistics.fmean(self.ours)


@dataclass(frozen=True)
class Refused:
    figure: Figure
    reason: str


@dataclass(frozen=True)
class Verdict:
    word: Word
    bits: Compared
    seeds: SeedNoise
    repeat: bool  # the groups differ by their seeds only

    @property
    def text_margin(self) -> float:
        """How far the interval by documents reaches from the difference towards zero."""
        interval, difference = self.bits.of_text, self.bits.difference
        if interval is None:
            return 0.0
        return difference - interval.low if difference > 0 else interval.high - difference

    @property
    def margin(self) -> float:
        return math.hypot(self.text_margin, self.seeds.margin)

    @property
    def larger_noise(self) -> str:
        return "the choice of text" if self.text_margin > self.seeds.margin else "the seeds"


@dataclass(frozen=True)
class Pair:
    baseline: Group
    other: Group
    figures: tuple[Compared | Refused, ...]
    verdict: Verdict
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    groups: tuple[Group, ...]  # the first is the baseline
    settings: dict[str, list[str]]  # those that differ: the value of each group
    data: dict[str, list[str]]  # hashes of each group
    other_modules: tuple[str, ...]  # of the code that trained, where it differs
    pairs: tuple[Pair, ...]


def compare(groups: Sequence[Sequence[RunRecord]]) -> Comparison:
    """PipelineError where a group is none, or where runs were scored on different texts."""
    if len(groups) > 26:
        raise PipelineError(f"{len(groups)} groups of runs were given; allowed: 2 to 26")
    lettered = tuple(
        Group(chr(ord("A") + number), tuple(runs)) for number, runs in enumerate(groups)
    )
    for group in lettered:
        _check_seeds(group)
    baseline, *others = lettered
    everyone = [run for group in lettered for run in group.runs]
    for run in everyone[1:]:
        _check_text(baseline.first, run)
    draws = _draws(everyone)
    settings = {
        name: [_of_seeds(group, name) for group in lettered]
        for name in _differing([_facts(run) for run in everyone])
    }
    codes = [run.code for run in everyone if run.code]
    return Comparison(
        groups=lettered,
        settings=settings,
        data={
            name: [group.first.hashes.get(path, NOTHING) for group in lettered]
            for name, path in DATA.items()
        }
        | {"code that trained": [_code_hash(group.first) for group in lettered]},
        other_modules=tuple(_differing(codes)),
        pairs=tuple(_pair(baseline, other, draws) for other in others),
    )


def _facts(run: RunRecord) -> dict[str, str]:
    """Settings, and the machine that `auto` found."""
    machine = {f"machine.{name}": str(value) for name, value in run.model["machine"].items()}
    return run.settings | machine


def _differing(records: Sequence[Mapping[str, str]]) -> list[str]:
    names = sorted({name for record in records for name in record})
    return [name for name in names if len({record.get(name) for record in records}) > 1]


def _of_seeds(group: Group, name: str) -> str:
    """A group's value; of the seed, all of them."""
    values = [_facts(run).get(name, NOTHING) for run in group.runs]
    return ", ".join(dict.fromkeys(values))


def _code_hash(run: RunRecord) -> str:
    if not run.code:
        return NOTHING
    listed = "".join(f"{path}{md5}" for path, md5 in sorted(run.code.items()))
    return hashlib.md5(listed.encode(), usedforsecurity=False).hexdigest()


def _check_seeds(group: Group) -> None:
    """Its runs must differ by their seed, and by nothing else."""
    names = ", ".join(run.name for run in group.runs)
    rule = "runs joined by commas must differ by train.seed only"
    for run in group.runs[1:]:
        for records in (
            [group.first.settings, run.settings],
            [group.first.hashes, run.hashes],
            [group.first.code, run.code],
        ):
            if all(records) and (other := [n for n in _differing(records) if n != SEED]):
                values = [record.get(other[0], NOTHING) for record in records]
                raise PipelineError(f"{names}: {rule}, found {other[0]} {' and '.join(values)}")
    seed, times = Counter(run.seed for run in group.runs).most_common(1)[0]
    if times > 1:
        raise PipelineError(f"{names}: {rule}, found seed {seed} {times} times")


def _check_text(ours: RunRecord, theirs: RunRecord) -> None:
    """Names and bytes of test's documents, and where both are known, the hash of the text."""
    same = all(
        np.array_equal(ours.documents[name], theirs.documents[name]) for name in ("name", "bytes")
    )
    if not same or _hash_differs(ours, theirs, TEXTS["test"]):
        sizes = [
            f"{len(run.documents['bytes']):,} documents of {run.documents['bytes'].sum():,} bytes"
            for run in (ours, theirs)
        ]
        raise PipelineError(
            f"{ours.name} and {theirs.name} were scored on different test texts ({sizes[0]}, "
            f"{sizes[1]}): no figure of theirs can be compared; give both the same "
            "download and clean settings"
        )


def _hash_differs(ours: RunRecord, theirs: RunRecord, path: str) -> bool:
    return (
        path in ours.hashes and path in theirs.hashes and ours.hashes[path] != theirs.hashes[path]
    )


def _same_vocabulary(ours: RunRecord, theirs: RunRecord) -> bool:
    """By the tokenizer's hash where both are known, else by all that is known of the tokens."""
    if VOCABULARY in ours.hashes and VOCABULARY in theirs.hashes:
        return not _hash_differs(ours, theirs, VOCABULARY)
    return ours.model["inputs"]["vocabulary"] == theirs.model["inputs"]["vocabulary"] and (
        np.array_equal(ours.documents["tokens"], theirs.documents["tokens"])
    )


def _draws(runs: Sequence[RunRecord]) -> dict[str, dict[str, Floats]] | None:
    """Of each run by its name: sums of its columns over documents drawn at random, (R,)."""
    documents = len(runs[0].documents["bytes"])
    if documents < MIN_DOCUMENTS:
        return None
    places: list[tuple[str, str]] = []
    columns: list[Floats] = []
    for run in {run.name: run for run in runs}.values():
        numbers = {n: values for n, values in run.documents.items() if n != "name"}
        if run.settings.get(WORD_ENDS) == "document":  # ends of lines are not counted by document
            numbers["word_ends"] = numbers["words"] + 1
        for name, values in numbers.items():
            places.append((run.name, name))
            columns.append(values.astype(np.float64))
    sums = resampled_sums(np.stack(columns, axis=1))
    draws: dict[str, dict[str, Floats]] = {}
    for (run_name, name), values in zip(places, sums.T, strict=True):
        draws.setdefault(run_name, {})[name] = values
    return draws


def _pair(baseline: Group, other: Group, draws: dict[str, dict[str, Floats]] | None) -> Pair:
    figures: list[Compared | Refused] = []
    for figure in FIGURES:
        runs = (*baseline.runs, *other.runs)
        if all(figure.of(run) is None for run in runs):
            continue
        reason = _obstacle(figure, baseline.first, other.first)
        if reason is None and (lacking := [run for run in runs if figure.of(run) is None]):
            reason = f"{lacking[0].name} has none"
        figures.append(
            Refused(figure, reason) if reason else _compared(figure, baseline, other, draws)
        )
    bits = next(found for found in figures if isinstance(found, Compared))  # it has no obstacle
    return Pair(
        baseline, other, tuple(figures), _verdict(baseline, other, bits), _notes(baseline, other)
    )


def _obstacle(figure: Figure, ours: RunRecord, theirs: RunRecord) -> str | None:
    """Why the figure cannot be compared."""
    if figure.whole == "tokens" and not _same_vocabulary(ours, theirs):
        return "other vocabularies, so other tokens; compare bits a byte"
    if figure.whole == "word_ends":
        ends = [run.settings.get(WORD_ENDS, NOTHING) for run in (ours, theirs)]
        if ends[0] != ends[1]:
            return f"words are counted with the ends of each {ends[0]} and of each {ends[1]}"
    if len(figure.path) > 1:
        name = figure.path[0]
        if lacking := [run.name for run in (ours, theirs) if name not in run.test]:
            return f"{lacking[0]} was not scored so"
        pace = [_numbers_set(run.test[name]) for run in (ours, theirs)]
        if differing := _differing(pace):
            values = " and ".join(of.get(differing[0], NOTHING) for of in pace)
            return f"scored with {differing[0]} {values}"
    return None


def _numbers_set(figures: Mapping[str, Any]) -> dict[str, str]:
    """The settings among the figures of dynamic evaluation or of the neural cache."""
    results = ("bits_per_byte", "nats_per_token", "perplexity_per_token", "perplexity_per_word")
    return {
        name: str(value) for name, value in figures.items() if name not in (*results, "omitted")
    }


def _compared(
    figure: Figure,
    baseline: Group,
    other: Group,
    draws: dict[str, dict[str, Floats]] | None,
) -> Compared:
    ours, theirs = baseline.values(figure), other.values(figure)
    of_text, remark = None, f"fewer than {MIN_DOCUMENTS} documents: no interval"
    if draws is not None:
        drawn = [_group_draws(figure, group, draws) for group in (baseline, other)]
        remark = "ends of lines are not recorded by document: no interval"
        if drawn[0] is not None and drawn[1] is not None:
            of_text, remark = percentile_interval(drawn[1] - drawn[0]), ""
    return Compared(figure, ours, theirs, of_text, measured_noise(ours, theirs), remark)


def _group_draws(
    figure: Figure, group: Group, draws: dict[str, dict[str, Floats]]
) -> Floats | None:
    """The mean of the runs' figure on each draw, (R,); None where it cannot be drawn."""
    values = []
    for run in group.runs:
        sums = draws[run.name]
        if figure.part not in sums or figure.whole not in sums:
            return None
        values.append(figure.value(sums[figure.part] / sums[figure.whole]))
    return np.mean(values, axis=0)


def _verdict(baseline: Group, other: Group, bits: Compared) -> Verdict:
    seeds = bits.of_seeds or default_noise(bits.ours[0], bits.theirs[0])
    repeat = _is_repeat(baseline.first, other.first)
    verdict = Verdict("within noise", bits, seeds, repeat)
    if repeat or abs(bits.difference) <= verdict.margin:
        return verdict
    return Verdict("better" if bits.difference < 0 else "worse", bits, seeds, repeat)


def _is_repeat(ours: RunRecord, theirs: RunRecord) -> bool:
    """Whether nothing but the seed differs in what a model is made from."""
    settings = [
        {n: value for n, value in run.settings.items() if not n.startswith("evaluate.")}
        for run in (ours, theirs)
    ]
    return set(_differing(settings)) <= {SEED} and not any(
        both[0] and both[1] and _differing(both)
        for both in ([ours.hashes, theirs.hashes], [ours.code, theirs.code])
    )


def _notes(baseline: Group, other: Group) -> tuple[str, ...]:
    notes = []
    ways = [_scored_with(group.first) for group in (baseline, other)]
    if ways[0] != ways[1]:
        notes.append(
            f"scored in different ways: {baseline.letter} with {ways[0]}, {other.letter} with "
            f"{ways[1]}; a part of the difference may come from that"
        )
    return tuple(notes)


def _scored_with(run: RunRecord) -> str:
    context = f"context {run.test['context']}"
    if "window" not in run.test:
        return context
    return f"{context}, window {run.test['window']} and stride {run.test['stride']}"
