"""The command on a tiny corpus: its outputs, the same bytes twice, and what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner, Result
from helpers import model_params
from ruamel.yaml import YAML

from reprise.files import write_json
from reprise.model_files import save_model, weights_of
from reprise.models import build_model
from reprise.params.tokenize import TokenizeParams
from reprise.source import ROOT, imported_files
from reprise.tokenizer import Tokenizer
from reprise.tokenizer_training import train_tokenizer
from stages.evaluate import main

TEXTS = {
    "train": ["the cat sat\non the mat", "the hat", "a cat and a hat"],
    "valid": ["the mat", "a cat sat"],
    "test": ["the cat and the mat", "on a hat\nsat the cat"],
}
PARAMS = Path(__file__).parent.parent / "params.yaml"


def write_params(folder: Path, **changes: object) -> None:
    yaml = YAML(typ="safe", pure=True)
    settings = yaml.load(PARAMS.read_text(encoding="utf-8"))
    settings["evaluate"] |= {"prompts": ["", "the\n"], "sample_tokens": 5} | changes
    settings["run"]["tracking"] = False
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(settings, file)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the stages before leave, with a network that has learned nothing."""
    monkeypatch.chdir(tmp_path)
    characters = sorted(set("".join(TEXTS["train"])) - {"\n"})
    tokenize = TokenizeParams(
        model_file=None,
        model_sha256=None,
        type="char",
        vocabulary_size=4 + len(characters),
        character_coverage=1.0,
        byte_fallback=False,
        normalization="identity",
        user_defined_symbols=(),
        control_symbols=(),
        sample_bytes=1000,
        seed=1,
    )
    for folder in ("data/encode", "data/tokenize", "metrics"):
        (tmp_path / folder).mkdir(parents=True)
    learned = train_tokenizer(TEXTS["train"], tokenize)
    Path("data/tokenize/tokenizer.model").write_bytes(learned)
    tokenizer = Tokenizer(learned)
    for name, texts in TEXTS.items():
        encoded = [np.append(tokenizer.encode(text), tokenizer.document_end_id) for text in texts]
        np.save(f"data/encode/{name}.npy", np.concatenate(encoded).astype(np.uint16))
        table = {
            "name": [f"{name} {number}" for number in range(len(texts))],
            "tokens": [len(document) for document in encoded],
            "bytes": [len(text) for text in texts],
            "words": [len(text.split()) for text in texts],
            "lines": [text.count("\n") + 1 for text in texts],
        }
        pq.write_table(pa.table(table), f"data/encode/{name}.parquet")
    size = tokenize.vocabulary_size
    vocabulary = {"boundary": tokenizer.document_end_id, "vocabulary_size": size}
    write_json(Path("data/encode/vocabulary.json"), vocabulary)
    model = model_params(
        architecture="gru",
        embedding_size=8,
        hidden_size=8,
        layers=1,
        heads=1,
        feedforward_size=8,
        dropout=0.5,
        tie_weights=True,
    )
    settings = {
        **vocabulary,
        "run_key": "0123456789",
        "name": "gru-8x1",
        "inputs": {},
        "parameters": 1000,
        "settings": {"model": model.model_dump(), "train": {"sequence_length": 16}},
        "machine": {"device": "cpu", "precision": "fp32", "threads": 1},
    }
    folder = Path("data/train")
    torch.manual_seed(1)
    weights = weights_of(build_model(model, size))
    save_model(folder / "model.safetensors", folder / "model.json", weights, settings)
    Path("metrics/train.csv").write_text("step,train_nats_per_token\n1,3.0\n", encoding="utf-8")
    write_params(tmp_path)
    return tmp_path


def run() -> Result:
    return CliRunner().invoke(main, [], catch_exceptions=False)


def outputs() -> dict[str, bytes]:
    paths = [*sorted(Path("data/evaluate").iterdir()), Path("metrics/evaluate.json")]
    return {path.name: path.read_bytes() for path in paths}


@pytest.mark.usefixtures("project")
def test_it_writes_figures_samples_and_a_table() -> None:
    assert run().exit_code == 0
    written = ["documents.parquet", "quantiles.csv", "samples.txt", "evaluate.json"]
    assert list(outputs()) == written
    metrics = json.loads(Path("metrics/evaluate.json").read_text(encoding="utf-8"))
    assert set(metrics) == {"device", "valid", "test"}
    assert metrics["test"]["documents"] == 2
    assert metrics["test"]["tokens"] == sum(len(text) + 1 for text in TEXTS["test"])
    assert metrics["test"]["words"] == 5 + 6 + 2
    assert metrics["test"]["kneser_ney"]["order"] == 3
    assert metrics["test"]["best"] in ("model", "unigram", "kneser_ney")
    table = pq.read_table("data/evaluate/documents.parquet").to_pydict()
    assert table["name"] == ["valid 0", "valid 1", "test 0", "test 1"]
    samples = Path("data/evaluate/samples.txt").read_text(encoding="utf-8")
    assert samples.startswith('=== 1 of 2 · prompt "" · ')
    assert '\n=== 2 of 2 · prompt "the\\n" · ' in samples


@pytest.mark.usefixtures("project")
def test_it_writes_the_same_bytes_twice() -> None:
    run()
    first = outputs()
    shutil.rmtree("data/evaluate")
    Path("metrics/evaluate.json").unlink()
    run()
    assert outputs() == first


def test_the_batch_changes_no_figure(project: Path) -> None:
    run()
    first = json.loads(outputs()["evaluate.json"])
    write_params(project, batch_tokens=1)
    run()
    second = json.loads(outputs()["evaluate.json"])
    assert second["test"]["nats_per_token"] == pytest.approx(
        first["test"]["nats_per_token"], rel=1e-5
    )


def test_dynamic_evaluation_and_the_neural_cache_add_figures_and_change_none(
    project: Path,
) -> None:
    run()
    plain, samples = json.loads(outputs()["evaluate.json"]), outputs()["samples.txt"]
    write_params(project, dynamic=True, cache_tokens=20)
    assert run().exit_code == 0
    varied = json.loads(outputs()["evaluate.json"])
    table = pq.read_table("data/evaluate/documents.parquet").to_pydict()
    for split, rows in (("valid", slice(0, 2)), ("test", slice(2, 4))):
        for name, column in (
            ("dynamic_evaluation", "dynamic_nats"),
            ("neural_cache", "cache_nats"),
        ):
            figures = varied[split].pop(name)
            nats = sum(table[column][rows]) / plain[split]["tokens"]
            assert figures["nats_per_token"] == pytest.approx(nats, abs=1e-6)
            assert figures["bits_per_byte"] != plain[split]["bits_per_byte"]
    assert varied == plain
    assert outputs()["samples.txt"] == samples


def test_words_may_end_with_lines(project: Path) -> None:
    write_params(project, word_ends="line")
    run()
    assert json.loads(outputs()["evaluate.json"])["test"]["words"] == 5 + 6 + 3


@pytest.mark.usefixtures("project")
def test_a_missing_model_is_told_on_one_line() -> None:
    Path("data/train/model.json").unlink()
    result = run()
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "error: data/train/model.json: no such file; run `dvc repro` to make it"
    ]


@pytest.mark.usefixtures("project")
def test_missing_losses_are_told_before_anything_is_written() -> None:
    Path("metrics/train.csv").unlink()
    result = run()
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "error: metrics/train.csv: not there; run `dvc repro -f train`"
    ]
    assert not Path("data/evaluate").exists()


@pytest.mark.usefixtures("project")
def test_text_of_another_vocabulary_is_refused_before_anything_is_written() -> None:
    other = {"boundary": 1, "vocabulary_size": 5000}
    write_json(Path("data/encode/vocabulary.json"), other)
    result = run()
    assert result.exit_code == 1
    assert "the encoded text has 5,000 and 1; run `dvc repro`" in result.stderr
    assert not Path("data/evaluate").exists()


def test_a_window_above_the_positions_is_refused_before_anything_is_written(project: Path) -> None:
    weights_path, settings_path = (
        Path("data/train") / name for name in ("model.safetensors", "model.json")
    )
    model = model_params(architecture="gpt2", positions=16)
    settings = json.loads(settings_path.read_text(encoding="utf-8"))
    settings["settings"]["model"] = model.model_dump()
    weights = weights_of(build_model(model, settings["vocabulary_size"]))
    save_model(weights_path, settings_path, weights, settings)
    write_params(project, window=17)
    result = run()
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "error: evaluate.window: found 17, allowed: up to model.positions 16; "
        "lower the one, or raise the other and train anew"
    ]
    assert not Path("data/evaluate").exists()
    write_params(project, window=16)
    assert run().exit_code == 0


@pytest.mark.parametrize("name", ["train", "valid", "test"])
@pytest.mark.usefixtures("project")
def test_ids_beyond_the_vocabulary_are_told_before_anything_is_written(name: str) -> None:
    path = Path(f"data/encode/{name}.npy")
    ids = np.load(path)
    ids[0] = 60000
    np.save(path, ids)
    result = run()
    assert result.exit_code == 1
    assert f"error: the {name} split has id 60000, " in result.stderr
    assert not Path("data/evaluate").exists()


def test_scoring_does_without_what_only_training_needs() -> None:
    """Lightning Fabric takes seconds to import."""
    of_training = imported_files("stages.train")
    modules = {name for name in of_training if "lightning_fabric" in (ROOT / name).read_text()}
    assert "reprise/distribution.py" in modules
    assert modules.isdisjoint(imported_files("stages.evaluate"))
