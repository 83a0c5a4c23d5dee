"""No network can know more of a text than its source gives away.

Texts are drawn from a source of second order whose entropy rate is computed exactly. A loss below
the rate would mean that something leaks or is miscounted; one far above, that something is not
learnt. All of it goes through the real stages.
"""

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from project import Project

from reprise.files import read_json

LETTERS = "abcde"
END = len(LETTERS)
END_PROBABILITY = 1 / 40

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Source:
    """next_token[a, b]: how likely each token is after a b; END stands before and after a text."""

    next_token: Floats  # (6, 6, 6)

    @classmethod
    def draw(cls, seed: int) -> "Source":
        random = np.random.default_rng(seed)
        table = np.zeros((END + 1, END + 1, END + 1))
        for a in range(END + 1):
            for b in range(END + 1):
                end = 0.0 if b == END else END_PROBABILITY  # no document is empty
                table[a, b, :END] = random.dirichlet(np.full(END, 0.6)) * (1 - end)
                table[a, b, END] = end
        return cls(table)

    def text(self, random: np.random.Generator) -> str:
        a, b, letters = END, END, []
        while True:
            token = int(random.choice(END + 1, p=self.next_token[a, b]))
            if token == END:
                return "".join(letters)
            letters.append(LETTERS[token])
            a, b = b, token

    def entropy_rate(self) -> float:
        """Nats a token, over documents end to end: the stationary mean of the entropy of a row."""
        weight = np.zeros((END + 1, END + 1))
        weight[END, END] = 1.0
        average = np.zeros_like(weight)
        for _ in range(20_000):
            flow = weight[:, :, None] * self.next_token
            weight = flow.sum(0)
            weight[END, END] = flow[:, :, END].sum()  # a document's end is the next one's beginning
            weight[:END, END] = 0.0
            average += weight
        average /= average.sum()
        logs = np.log(self.next_token, where=self.next_token > 0, out=np.zeros((END + 1,) * 3))
        return float((average[:, :, None] * self.next_token * -logs).sum())

    def surprises(self, text: str) -> list[float]:
        """-log p of each letter and of the end."""
        tokens = [END, END, *(LETTERS.index(letter) for letter in text), END]
        triples = zip(tokens[:-2], tokens[1:-1], tokens[2:], strict=True)
        return [-float(np.log(self.next_token[triple])) for triple in triples]


@pytest.fixture(scope="module")
def source() -> Source:
    return Source.draw(seed=4)


@pytest.fixture(scope="module")
def project(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(
        tmp_path_factory.mktemp("source"),
        documents=0,
        download={"corpus": "source.jsonl"},
        clean={
            "min_characters": 1,
            "drop_exact_duplicates": False,
            "valid_fraction": 0.1,
            "test_fraction": 0.2,
        },
        # <unk>, the end, tab, newline and five letters
        tokenize={
            "type": "char",
            "vocabulary_size": 9,
            "byte_fallback": False,
            "character_coverage": 1.0,
        },
        evaluate={"prompts": []},
    )
    random = np.random.default_rng(11)
    lines = [json.dumps({"text": source.text(random)}) for _ in range(4000)]
    (project.folder / "source.jsonl").write_text("\n".join(lines))
    for name in ("download", "clean", "tokenize", "encode"):
        project.stage(name)
    return project


def test_the_entropy_rate_is_the_mean_surprise_of_a_long_text(source: Source) -> None:
    random = np.random.default_rng(2)
    surprises = [s for _ in range(3000) for s in source.surprises(source.text(random))]
    error = np.std(surprises) / len(surprises) ** 0.5
    assert abs(np.mean(surprises) - source.entropy_rate()) < 4 * error


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["rnn", "gru", "lstm", "transformer", "gpt2"])
def test_each_network_comes_within_three_percent_of_the_rate_and_never_below(
    architecture: str, source: Source, project: Project
) -> None:
    import pandas as pd

    project.set_params(
        {
            "model": {
                "architecture": architecture,
                "embedding_size": 32,
                "hidden_size": 32,
                "layers": 2 if architecture in ("transformer", "gpt2") else 1,
                "heads": 2,
                "feedforward_size": 64,
                "input_dropout": 0.0,
                "hidden_dropout": 0.0,
                "output_dropout": 0.0,
            },
            "train": {
                "batch_size": 32,
                "sequence_length": 32,
                "max_steps": 700,
                "steps_per_validation": 350,
                "steps_per_checkpoint": 700,
                "learning_rate": 0.01,
            },
        }
    )
    project.stage("train")
    project.stage("evaluate")
    figures = read_json(project.folder / "metrics/evaluate.json")["test"]

    texts = pd.read_parquet(project.folder / "data/clean/test.parquet")["text"]
    surprises = [s for text in texts for s in source.surprises(text)]
    assert figures["tokens"] == len(surprises)
    rate, error = source.entropy_rate(), np.std(surprises) / len(surprises) ** 0.5
    assert error < 0.01 * rate
    loss = figures["nats_per_token"]
    assert rate - 3 * error <= loss <= 1.03 * rate + 3 * error
    # The same against the source's own surprise at these very tokens, where chance cancels out.
    assert np.mean(surprises) - 0.002 * rate <= loss <= 1.03 * np.mean(surprises)
