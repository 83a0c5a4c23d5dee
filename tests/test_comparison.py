"""Verdicts, refusals and groups, on finished runs by hand."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finished_runs import DOCUMENTS, NATS, SIZES, record, seeds, write_run

from reprise.comparing.comparison import Compared, Pair, Refused, compare
from reprise.comparing.report import verdict_line
from reprise.dynamic_evaluation import DynamicEvaluation
from reprise.errors import PipelineError
from reprise.runs.files import Workspace
from reprise.runs.records import RunRecord, read_run

RATE = {"train.learning_rate": 0.02}


def pair_of(ours: RunRecord, theirs: RunRecord) -> Pair:
    (pair,) = compare([[ours], [theirs]]).pairs
    return pair


def refusals(pair: Pair) -> dict[str, str]:
    return {found.figure.name: found.reason for found in pair.figures if isinstance(found, Refused)}


def compared(pair: Pair) -> dict[str, Compared]:
    return {found.figure.name: found for found in pair.figures if isinstance(found, Compared)}


@pytest.mark.parametrize(
    ("factor", "word"), [(0.9, "better"), (1.1, "worse"), (0.99, "within noise")]
)
def test_a_difference_must_exceed_the_noise_of_seeds(
    tmp_path: Path, factor: float, word: str
) -> None:
    """All documents change alike, so that the choice of text makes little noise."""
    pair = pair_of(record(tmp_path), record(tmp_path, "b", factor * NATS, settings=RATE))
    assert pair.verdict.word == word
    assert pair.verdict.larger_noise == "the seeds"
    bits = compared(pair)["bits a byte"]
    assert bits.of_text is not None
    assert bits.of_text.low * bits.of_text.high > 0  # by documents alone 0 would be excluded
    assert bits.difference == pytest.approx((factor - 1) * bits.ours[0], abs=2e-6)


def test_a_difference_must_exceed_the_noise_of_the_text(tmp_path: Path) -> None:
    """Half of the documents get much better, the others much worse, all seeds agree."""
    signs = np.where(np.arange(DOCUMENTS) % 2 == 0, 0.65, 1.25)
    ours = seeds(tmp_path, "a", [1, 1.0001])
    theirs = [
        record(tmp_path, f"b{n}", (1 + n / 1e4) * signs * NATS, settings=RATE | {"train.seed": n})
        for n in (1, 2)
    ]
    (pair,) = compare([ours, theirs]).pairs
    bits = compared(pair)["bits a byte"]
    assert bits.of_seeds is not None
    assert bits.of_seeds.p_value(bits.difference) < 0.001
    assert pair.verdict.word == "within noise"
    assert pair.verdict.larger_noise == "the choice of text"


def test_both_noises_are_added_as_variances(tmp_path: Path) -> None:
    verdict = pair_of(record(tmp_path), record(tmp_path, "b", 1.1 * NATS, settings=RATE)).verdict
    interval = verdict.bits.of_text
    assert interval is not None
    expected = math.sqrt((verdict.bits.difference - interval.low) ** 2 + verdict.seeds.margin**2)
    assert verdict.margin == pytest.approx(expected)


def test_another_seed_is_a_repeat_and_no_verdict_but_noise(tmp_path: Path) -> None:
    ours = record(tmp_path)
    near = pair_of(ours, record(tmp_path, "b", 0.995 * NATS, settings={"train.seed": 2}))
    far = pair_of(ours, record(tmp_path, "c", 0.9 * NATS, settings={"train.seed": 3}))
    assert [pair.verdict.word for pair in (near, far)] == ["within noise"] * 2
    assert verdict_line(near).endswith(
        "; only the seed differs: a repeat, whose difference is noise by definition"
    )
    assert verdict_line(far).endswith(
        ", and more than was reckoned with: measure it with groups of seeds"
    )
    same = verdict_line(pair_of(ours, ours))
    assert same.startswith("B against A: within noise: +0.0000 bits a byte (+0.00%)")
    assert same.endswith("; nothing differs: a repeat, whose difference is noise by definition")


@pytest.mark.parametrize(
    "change",
    [{"code": "c1"}, {"hashes": {"data/clean/train.parquet": "other"}}, {"settings": RATE}],
)
def test_other_code_data_or_settings_are_no_repeat(tmp_path: Path, change: dict[str, Any]) -> None:
    ours = record(tmp_path, hashes={"data/clean/train.parquet": "one"})
    theirs = record(
        tmp_path, "b", 0.9 * NATS, **{"hashes": {"data/clean/train.parquet": "one"}} | change
    )
    verdict = pair_of(ours, theirs).verdict
    assert (verdict.repeat, verdict.word) == (False, "better")


def test_groups_are_compared_by_their_means_and_their_own_noise(tmp_path: Path) -> None:
    (pair,) = compare(
        [
            seeds(tmp_path, "a", [1, 1.002, 0.999]),
            seeds(tmp_path, "b", [0.99, 0.991], settings=RATE),
        ]
    ).pairs
    bits = compared(pair)["bits a byte"]
    one = NATS.sum() / math.log(2) / SIZES.sum()
    assert bits.difference == pytest.approx((0.9905 - 3.001 / 3) * one, abs=2e-6)
    assert pair.verdict.word == "better"  # 1%, which is noise to the default deviation
    assert pair.verdict.seeds.origin == "measured on 3 and 2 seeds"


def test_a_group_has_nothing_but_seeds(tmp_path: Path) -> None:
    ours, other = record(tmp_path), record(tmp_path, "b", settings=RATE | {"train.seed": 2})
    rule = "runs joined by commas must differ by train.seed only, found"
    with pytest.raises(PipelineError, match=f"a, b: {rule} train.learning_rate 0.01 and 0.02"):
        compare([[ours, other], [ours]])
    with pytest.raises(PipelineError, match=f"a, a: {rule} seed 1 2 times"):
        compare([[ours, ours], [other]])
    coded = record(tmp_path, "c", settings={"train.seed": 2}, code="c1")
    with pytest.raises(PipelineError, match=f"a, c: {rule} reprise/training.py c0 and c1"):
        compare([[ours, coded], [other]])


def test_other_test_texts_leave_nothing_to_compare(tmp_path: Path) -> None:
    ours = record(tmp_path)
    fewer = record(tmp_path, "b", NATS[:-1], SIZES[:-1])
    with pytest.raises(PipelineError) as error:
        compare([[ours], [fewer]])
    assert str(error.value) == (
        "a and b were scored on different test texts (60 documents of 7,770 bytes, 59 documents of "
        "7,611 bytes): no figure of theirs can be compared; give both the same download and clean "
        "settings"
    )
    rewritten = record(tmp_path, "c", hashes={"data/clean/test.parquet": "text1"})
    with pytest.raises(PipelineError, match="a and c were scored on different test texts"):
        compare([[ours], [rewritten]])


def test_other_vocabularies_leave_bits_a_byte_and_perplexity_a_word(tmp_path: Path) -> None:
    pair = pair_of(record(tmp_path), record(tmp_path, "b", 0.9 * NATS, tokens_per_byte=0.4))
    reason = "other vocabularies, so other tokens; compare bits a byte"
    names = ("nats a token", "perplexity a token", "top-1 accuracy", "top-5 accuracy")
    assert refusals(pair) == dict.fromkeys(names, reason)
    assert set(compared(pair)) == {"bits a byte", "perplexity a word"}
    assert pair.verdict.word == "better"


def test_words_with_other_ends_are_not_compared(tmp_path: Path) -> None:
    pair = pair_of(record(tmp_path), record(tmp_path, "b", settings={"evaluate.word_ends": "line"}))
    assert refusals(pair) == {
        "perplexity a word": "words are counted with the ends of each document and of each line"
    }


def test_words_with_line_ends_have_no_interval(tmp_path: Path) -> None:
    lines = {"evaluate.word_ends": "line"}
    pair = pair_of(
        record(tmp_path, settings=lines),
        record(tmp_path, "b", 0.9 * NATS, settings=lines | RATE),
    )
    words = compared(pair)["perplexity a word"]
    assert words.of_text is None
    assert words.remark == "ends of lines are not recorded by document: no interval"
    assert words.difference < 0


def test_dynamic_figures_are_compared_with_the_same_settings_only(tmp_path: Path) -> None:
    def dynamic(name: str, rate: float | None) -> RunRecord:
        if rate is None:
            return record(tmp_path, name)
        block = {"bits_per_byte": 1.2, "learning_rate": rate, "segment": 64}
        return record(
            tmp_path,
            name,
            test={DynamicEvaluation.name: block},
            columns={DynamicEvaluation.column: 0.9 * NATS},
        )

    ours = dynamic("a", 0.002)
    name = "bits a byte, dynamic evaluation"
    assert refusals(pair_of(ours, dynamic("b", None))) == {name: "b was not scored so"}
    assert refusals(pair_of(ours, dynamic("c", 0.1))) == {
        name: "scored with learning_rate 0.002 and 0.1"
    }
    assert name in compared(pair_of(ours, dynamic("d", 0.002)))
    assert name not in compared(pair_of(dynamic("e", None), dynamic("f", None)))


def test_another_way_of_scoring_is_told_beside_the_figures(tmp_path: Path) -> None:
    streamed = record(tmp_path, "b", test={"context": "stream", "window": 64, "stride": 32})
    (note,) = pair_of(record(tmp_path), streamed).notes
    assert note == (
        "scored in different ways: A with context document, B with context stream, window 64 and "
        "stride 32; a part of the difference may come from that"
    )


def test_few_documents_have_no_interval(tmp_path: Path) -> None:
    ours = record(tmp_path, "a", NATS[:9], SIZES[:9])
    pair = pair_of(ours, record(tmp_path, "b", 0.9 * NATS[:9], SIZES[:9], settings=RATE))
    bits = compared(pair)["bits a byte"]
    assert (bits.of_text, bits.remark) == (None, "fewer than 10 documents: no interval")
    assert "too few documents: true of this text alone" in verdict_line(pair)


def test_settings_and_data_that_differ_are_side_by_side(tmp_path: Path) -> None:
    ours = record(tmp_path)
    theirs = record(
        tmp_path,
        "b",
        settings=RATE | {"run.workers": 3, "train.kept_checkpoints": 9, "model.heads": 4},
        hashes={"data/clean/train.parquet": "other"},
        code="c1",
    )
    comparison = compare([[ours], [theirs]])
    assert comparison.settings == {"train.learning_rate": ["0.01", "0.02"]}
    assert comparison.data["train text"] == ["-", "other"]
    assert comparison.data["test text"] == ["text0", "text0"]
    assert comparison.other_modules == ("reprise/training.py",)


def test_settings_that_the_run_was_not_made_with_are_told(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    path = folder / "params.yaml"
    text = path.read_text().replace("  learning_rate: 0.01", "  learning_rate: 0.5")
    path.write_text(text)
    with pytest.raises(PipelineError) as error:
        read_run(Workspace(folder))
    assert str(error.value) == (
        "workspace: params.yaml has train.learning_rate 0.5, but the run that is there was made "
        "with 0.01; run `dvc repro`, or name a commit or an experiment"
    )


def test_figures_of_another_run_than_the_documents_are_told(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="they are of different runs; run `dvc repro`"):
        record(tmp_path, test={"bits_per_byte": 1.0})


def test_an_unfinished_run_is_told(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    (folder / "metrics/evaluate.json").unlink()
    with pytest.raises(PipelineError, match=r"workspace: no finished run, or its files are not he"):
        read_run(Workspace(folder))
