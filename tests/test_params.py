"""Faults in params.yaml: all at once, one line each."""

from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from project import ROOT
from ruamel.yaml import YAML

from reprise.errors import PipelineError
from reprise.params.base import Section
from reprise.params.clean import CleanParams
from reprise.params.evaluate import EvaluateParams
from reprise.params.loading import SECTIONS, load_section, section_schema
from reprise.params.train import TrainParams


def lines_for(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PipelineError) as error:
        load_section(path, TrainParams)
    return [line.removeprefix(f"{path}: ") for line in error.value.lines]


def committed(*changes: tuple[str, str]) -> str:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize("path", [ROOT / "params.yaml", *sorted(ROOT.glob("recipes/*.yaml"))])
def test_committed_settings_are_sound_and_every_one_is_explained(path: Path) -> None:
    for name in SECTIONS:
        section = load_section(path, section_schema(name))
        for key in _settings(section):
            line = next(
                line for line in _lines_of_section(path, name) if line.strip().startswith(f"{key}:")
            )
            assert "# " in line, f"{name}.{key} has no comment"


def _settings(section: Section) -> Iterator[str]:
    """The names of all settings, those of inner sections too."""
    for key, value in section:
        yield key
        if isinstance(value, Section):
            yield from _settings(value)


def _lines_of_section(path: Path, name: str) -> list[str]:
    text = "\n" + path.read_text(encoding="utf-8")
    return text.split(f"\n{name}:")[1].split("\n\n")[0].splitlines()


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = committed(
        ("  type: bpe ", "  type: bpx "),
        ("  heads: 8 ", "  heads: 0 "),
        ("  learning_rate: ", "  learning_rat: "),
        ("  threads: auto ", "  threads: 0 "),
        ("\nencode:", "\nencoder:"),
    )
    lines = lines_for(tmp_path, text)
    assert lines[0] == (
        "encoder: no such section; allowed: download, clean, tokenize, encode, model, train, "
        "evaluate, run; did you mean encode?"
    )
    assert lines[1] == (
        "tokenize.type: found 'bpx'; input should be 'unigram', 'bpe', 'char' or 'word'; "
        "did you mean bpe?"
    )
    assert lines[2] == "encode: this section is missing; copy it from a recipe"
    assert lines[3] == "model.heads: found 0; input should be greater than or equal to 1"
    rest = "\n".join(lines[4:])
    assert "train.learning_rate: missing; expected a number\n" in rest
    assert "train.learning_rat: no such setting; allowed: seed, device, " in rest
    assert rest.endswith("did you mean learning_rate?")
    assert "train.threads: found 0; allowed: auto or a whole number from 1\n" in rest


@pytest.mark.parametrize(
    ("section", "changes", "line"),
    [
        (
            "model",
            {"architecture": "transformer", "embedding_size": 8, "hidden_size": 16},
            "model: embedding_size is 8 and hidden_size 16; a transformer needs them equal",
        ),
        (
            "model",
            {"architecture": "transformer", "embedding_size": 30, "hidden_size": 30, "heads": 10},
            "model: hidden_size 30 over heads 10 must be an even whole number; rotary positions "
            "turn pairs of numbers",
        ),
        (
            "model",
            {"architecture": "gpt2", "embedding_size": 30, "hidden_size": 30, "heads": 4},
            "model: hidden_size 30 must be a multiple of heads 4",
        ),
        (
            "model",
            {"hidden_size": [], "tie_weights": False},
            "model: hidden_size has 0 sizes, but layers is 1",
        ),
        (
            "model",
            {"architecture": "gru", "attention_dropout": 0.1},
            "model: attention_dropout is for transformers; architecture is gru",
        ),
        (
            "model",
            {"adaptive_cutoffs": [5, 9], "tie_weights": False, "hidden_size": 15, "layers": 1},
            "model: adaptive_cutoffs [5, 9] need a last hidden_size of at least 16, it is 15; each "
            "group is 4 times narrower",
        ),
        ("train", {"threads": 1025}, "train: threads 1025 is above 1024"),
        (
            "train",
            {"max_steps": 10**400},
            "train: max_steps: found a number above 1e+15; allowed: up to 1e+15",
        ),
        (
            "train",
            {"learning_rate": 1e300},
            "train: learning_rate: found a number above 1e+38; allowed: up to 1e+38",
        ),
        (
            "model",
            {"logit_soft_cap": 1e-9},
            "model: logit_soft_cap 1e-09 must be 0 or at least 0.01",
        ),
        (
            "model",
            {"layers": 10**13},
            "model.layers: found 10000000000000; input should be less than or equal to 10000",
        ),
        (
            "train",
            {"warmup_steps": 50, "max_steps": 50},
            "train: warmup_steps 50 must be below max_steps 50",
        ),
        (
            "clean",
            {"valid_fraction": 0.5, "test_fraction": 0.5},
            "clean: valid_fraction + test_fraction is 1; it must stay below 1, so that train keeps "
            "something",
        ),
        (
            "clean",
            {"min_characters": 9, "max_characters": 8},
            "clean: min_characters 9 is above max_characters 8; lower one or raise the other",
        ),
        (
            "clean",
            {"rules": ["length", "unicode", "length"]},
            "clean: rules: length stands there 2 times; name it once",
        ),
        (
            "evaluate",
            {"window": 8, "stride": 9},
            "evaluate: stride 9 is above window 8; tokens would be left out",
        ),
    ],
)
def test_settings_at_odds_with_each_other_are_told(
    tmp_path: Path, section: str, changes: dict[str, Any], line: str
) -> None:
    yaml = YAML()
    params = yaml.load(committed())
    params[section].update(changes)
    with (tmp_path / "changed.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(params, file)
    assert lines_for(tmp_path, (tmp_path / "changed.yaml").read_text(encoding="utf-8")) == [line]


@pytest.mark.parametrize(
    ("section", "setting", "value"),
    [
        ("evaluate", "prompts", ["a", "HALF"]),
        ("tokenize", "user_defined_symbols", ["HALF"]),
    ],
)
def test_half_a_character_is_told(
    tmp_path: Path, section: str, setting: str, value: object
) -> None:
    yaml, text = YAML(), StringIO()
    params = yaml.load(committed())
    params[section][setting] = value
    yaml.dump(params, text)
    (line,) = lines_for(tmp_path, text.getvalue().replace("HALF", r'"\ud83d\ude00"'))
    assert line == (
        rf"{section}: {setting}: found '\ud83d\ude00', which has halves of characters; write a "
        r"whole one as it is, or as \U and eight digits"
    )


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        (
            lambda clean: clean["rules"].append("lenght"),
            [
                "clean.rules: found 'lenght'; input should be 'encoding', 'control_characters', "
                "'unicode', 'space_marks', 'trailing_blanks', 'outer_lines', 'markup', "
                "'boilerplate', 'length', 'language', 'repetition', 'quality', 'c4' or "
                "'personal_data'; did you mean length?"
            ],
        ),
        (
            lambda clean: clean.update(rules="length"),
            ["clean.rules: found 'length'; input should be a list"],
        ),
        (
            lambda clean: clean["language"].update(min_score=2, languages=["en", "zhh"]),
            [
                "clean.language.languages: found 'zhh'; allowed: a list of codes that fastText's "
                "lid.176 knows, such as [en, zh], or []; did you mean zh?",
                "clean.language.min_score: found 2; input should be less than or equal to 1",
            ],
        ),
        (
            lambda clean: clean["c4"].update(min_sentence=3, bad_words=[""]),
            [
                "clean.c4.bad_words: found ''; string should have at least 1 character",
                "clean.c4.min_sentence: no such setting; allowed: end_marks_needed, "
                "min_line_words, min_sentences, curly_brackets_allowed, bad_words; did you mean "
                "min_sentences?",
            ],
        ),
        (
            lambda clean: clean["c4"].pop("bad_words"),
            ["clean.c4.bad_words: missing; expected a list"],
        ),
        (
            lambda clean: clean.pop("language"),
            ["clean.language: missing; expected the settings languages, min_score"],
        ),
        (
            lambda clean: clean.update(language=None),
            ["clean.language: found nothing; expected the settings languages, min_score"],
        ),
        (
            lambda clean: clean["quality"].update(
                min_words=9, max_words=8, stop_words=["The", "the"], min_stop_words=2
            ),
            [
                "clean.quality: min_words 9 is above max_words 8; lower one or raise the other",
                "clean.quality: min_stop_words 2 is more than the 1 different stop_words; lower "
                "it or add words",
            ],
        ),
    ],
)
def test_faults_in_inner_sections_and_lists_are_told_with_dotted_names(
    tmp_path: Path, changes: Callable[[Any], None], lines: list[str]
) -> None:
    yaml = YAML()
    params = yaml.load(committed())
    changes(params["clean"])
    with (tmp_path / "changed.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(params, file)
    assert lines_for(tmp_path, (tmp_path / "changed.yaml").read_text(encoding="utf-8")) == lines


def test_numbers_are_read_as_dvc_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(_with("learning_rate", "1e-3"), encoding="utf-8")
    assert load_section(path, TrainParams).learning_rate == 0.001
    assert lines_for(tmp_path, _with("tie_weights", "'perhaps'"))[0].startswith(
        "model.tie_weights: found 'perhaps'; "
    )


def _with(key: str, value: str) -> str:
    lines = committed().splitlines()
    found = [number for number, line in enumerate(lines) if line.startswith(f"  {key}: ")]
    assert len(found) == 1
    lines[found[0]] = f"  {key}: {value}"
    return "\n".join(lines)


def test_a_missing_or_broken_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as error:
        load_section(tmp_path / "params.yaml", CleanParams)
    assert str(error.value) == (
        f"{tmp_path}/params.yaml: no such file; run from the project's folder or give --params"
    )
    assert lines_for(tmp_path, "train: [1") == [
        'not YAML: while parsing a flow sequence in "<file>", line 1, column 8 '
        "expected ',' or ']', but got '<stream end>' in \"<file>\", line 1, column 10"
    ]
    assert lines_for(tmp_path, "3")[0] == (
        "expected a mapping of names, found a int; run from the project's folder or give --params"
    )


def test_an_empty_section_a_list_and_a_number_for_a_name_are_told(tmp_path: Path) -> None:
    text = committed().replace("  round_trip_documents", "# round_trip_documents")
    assert lines_for(tmp_path, text) == [
        "encode: found nothing; expected the settings round_trip_documents"
    ]
    assert lines_for(tmp_path, text.replace("encode:", "encode: [2]"))[0] == (
        "encode: found [2]; expected the settings round_trip_documents"
    )
    assert lines_for(tmp_path, committed() + "\n1: 2\n")[0].startswith("1: no such section; ")
    assert "train.1: no such setting; allowed: seed, " in "\n".join(
        lines_for(tmp_path, committed().replace("  max_steps:", "  1:"))
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layers", "true"),
        ("batch_size", "'32'"),
        ("tie_weights", "'yes'"),
        ("clip_norm", ".inf"),
        ("learning_rate", ".nan"),
        ("split_seed", "99999999999"),
    ],
)
def test_what_only_looks_like_a_value_is_not_taken_for_one(
    tmp_path: Path, key: str, value: str
) -> None:
    (line,) = lines_for(tmp_path, _with(key, value))
    assert f".{key}: found " in line


def test_all_broken_rules_of_a_section_are_told(tmp_path: Path) -> None:
    text = committed(
        ("valid_fraction: 0.05 ", "valid_fraction: 0.95 "),
        ("min_characters: 40 ", "min_characters: 40000000 "),
    )
    lines = lines_for(tmp_path, text)
    assert [line.split()[1] for line in lines] == ["valid_fraction", "min_characters"]


def test_settings_cannot_be_changed_afterwards() -> None:
    params = load_section(ROOT / "params.yaml", TrainParams)
    with pytest.raises(ValueError, match="frozen"):
        params.seed = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("window", "stride", "expected"),
    [("auto", "auto", (65, 33)), (10, "auto", (10, 5)), ("auto", 100, (65, 65)), (10, 3, (10, 3))],
)
def test_auto_windows_follow_the_sequence_length(
    window: str | int, stride: str | int, expected: tuple[int, int]
) -> None:
    params = load_section(ROOT / "params.yaml", EvaluateParams)
    changed = EvaluateParams.model_validate(
        params.model_dump() | {"window": window, "stride": stride}
    )
    assert changed.window_and_stride(65) == expected
