"""The data stages as a person runs them, on a corpus of one's own with all its faults."""

import base64
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from permissions import bound_by_permissions
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
STAGES = ("download", "clean", "tokenize", "encode")
SETTINGS = {
    "download": {"document": "line"},
    "clean": {
        "min_characters": 4,
        "near_duplicates": "off",
        "max_overlap": 1.0,
        "valid_fraction": 0.2,
        "test_fraction": 0.2,
        "max_dropped_fraction": 0.9,
    },
    "tokenize": {"type": "bpe", "vocabulary_size": 400, "byte_fallback": True},
    "run": {"workers": 1},
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the committed catalogue and settings for a corpus in texts/."""
    (tmp_path / "texts").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/catalog.yaml").write_bytes((ROOT / "data/catalog.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    configure()
    return tmp_path


def configure(**changed: dict[str, object]) -> None:
    """Write params.yaml: the committed one with this module's settings and these."""
    yaml = YAML()
    settings = yaml.load((ROOT / "params.yaml").read_text())
    settings["download"]["corpus"] = "texts"
    for changes in (SETTINGS, changed):
        for section, values in changes.items():
            settings[section].update(values)
    with Path("params.yaml").open("w") as file:
        yaml.dump(settings, file)


def run(stage: str, *arguments: str) -> Result:
    import importlib

    main = importlib.import_module(f"stages.{stage}").main
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def run_all(*stages: str) -> None:
    for stage in stages:
        result = run(stage)
        assert result.exit_code == 0, result.stderr


def errors_of(stage: str) -> list[str]:
    result = run(stage)
    assert result.exit_code == 1
    return [line for line in result.stderr.splitlines() if line.startswith("error: ")]


def sentences(count: int = 300) -> str:
    lines = [f"The {i}th sentence says {i * i} things, or {i % 9}." for i in range(count)]
    lines += [f"第{i}回 天地玄黄宇宙洪荒日月盈昃" for i in range(count // 3)]
    return "\n".join(lines)


def test_a_corpus_goes_through_all_stages_with_the_same_bytes_on_any_workers(place: Path) -> None:
    Path("texts/plain.txt").write_text(sentences())
    records = [{"text": f"record {i} holds 汉字 {i}"} for i in range(80)]
    Path("texts/more.jsonl").write_text("\n".join(json.dumps(record) for record in records))
    found = []
    for workers in (1, 3):
        configure(run={"workers": workers})
        run_all(*STAGES)
        files = [path for top in ("data", "metrics") for path in Path(top).rglob("*.*")]
        found.append({path.as_posix(): path.read_bytes() for path in files})
    assert sorted(found[0]) == sorted(found[1])
    assert found[0] == found[1]
    names = {path.partition("/")[2].partition("/")[0] for path in found[0]}
    assert names == {"catalog.yaml", *STAGES, *(f"{stage}.json" for stage in STAGES)}
    for split in ("train", "valid", "test"):
        ids = np.load(f"data/encode/{split}.npy", mmap_mode="r")
        documents = pq.read_table(f"data/encode/{split}.parquet").to_pydict()
        clean = pq.read_table(f"data/clean/{split}.parquet").to_pydict()
        assert documents["name"] == clean["name"]
        assert len(ids) == sum(documents["tokens"])
        ends = np.cumsum(documents["tokens"]) - 1
        assert np.flatnonzero(ids == 1).tolist() == ends.tolist()
    counts = json.loads(Path("metrics/encode.json").read_text())
    assert sum(split["documents"] for split in counts.values()) == 480


def test_the_vocabulary_is_learned_from_train_alone(place: Path) -> None:
    Path("texts/a.txt").write_text(sentences())
    run_all("download", "clean", "tokenize")
    model = Path("data/tokenize/tokenizer.model").read_bytes()
    train, valid = (pq.read_table(f"data/clean/{split}.parquet") for split in ("train", "test"))
    pq.write_table(valid, "data/clean/valid.parquet")
    run_all("tokenize")
    assert Path("data/tokenize/tokenizer.model").read_bytes() == model
    pq.write_table(train.slice(0, 100), "data/clean/train.parquet")
    run_all("tokenize")
    assert Path("data/tokenize/tokenizer.model").read_bytes() != model


def test_docstrings_of_installed_packages_need_no_network(place: Path) -> None:
    Path("data/catalog.yaml").write_text(
        "tiny:\n  kind: docstrings\n  title: Docstrings of click\n  language: en\n"
        "  licence: BSD-3-Clause\n  homepage: https://example.org\n  packages: [click]\n"
    )
    configure(download={"corpus": "tiny"}, tokenize={"vocabulary_size": 1000})
    run_all(*STAGES)
    manifest = json.loads(Path("data/download/manifest.json").read_text())
    (source,) = manifest["sources"]
    (file,) = manifest["files"]
    assert source["package"] == "click"
    assert source["files_verified"] > 10
    assert file["path"] == "docstrings/click.jsonl"
    assert (
        len(Path("data/download/docstrings/click.jsonl").read_text().splitlines())
        == (source["documents"])
    )
    names = {
        name
        for split in ("train", "valid", "test")
        for name in pq.read_table(f"data/clean/{split}.parquet")["name"].to_pylist()
    }
    assert "click.core.Command" in names


def test_the_closing_line_tells_what_came_in_and_out(place: Path, caplog) -> None:
    Path("texts/a.txt").write_text(sentences(90) + "\nabc\n")
    with caplog.at_level("INFO"):
        run_all("download", "clean")
    lines = [line.rpartition(";")[0] for line in caplog.messages]
    assert lines == [
        "download: in texts; out 1 files, 0.0 MB in data/download; "
        "dropped 0 files of unknown kinds or linked folders, 0 empty files",
        "clean: in 121 documents, 0.0 MB; out 120 documents, 0.0 MB; dropped 1 too_few_characters",
    ]


def test_files_of_docstrings_that_could_not_be_parsed_are_in_the_closing_line(
    place: Path, caplog, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = []
    for name, count in (("first", 2), ("second", 1)):
        info = place / f"site/{name}-1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        sources = {f"{name}/bad{i}.py": "print 1\n" for i in range(count)}
        sources[f"{name}/good.py"] = '"""Some text."""\n'
        record = ""
        for path, source in sources.items():
            (place / "site" / path).parent.mkdir(exist_ok=True)
            (place / "site" / path).write_text(source)
            digest = base64.urlsafe_b64encode(hashlib.sha256(source.encode()).digest())
            record += f"{path},sha256={digest.rstrip(b'=').decode()},{len(source)}\n"
        (info / "RECORD").write_text(record)
        packages.append(name)
    monkeypatch.syspath_prepend(str(place / "site"))
    Path("data/catalog.yaml").write_text(
        "tiny:\n  kind: docstrings\n  title: Tiny\n  language: en\n  licence: MIT\n"
        f"  homepage: https://example.org\n  packages: [{', '.join(packages)}]\n"
    )
    configure(download={"corpus": "tiny"})
    with caplog.at_level("INFO"):
        run_all("download")
    assert caplog.messages[-1].rpartition(";")[0] == (
        "download: in tiny; out 2 files, 0.0 MB in data/download; "
        "dropped 3 files that could not be parsed"
    )


def test_a_corpus_that_is_nowhere_is_told(place: Path) -> None:
    configure(download={"corpus": "docstring"})
    (line,) = errors_of("download")
    assert line.startswith(
        "error: download.corpus: 'docstring' is neither a file or folder nor a name in "
        "data/catalog.yaml; names there: docstrings, docstrings-full, "
    )
    assert line.endswith("; did you mean docstrings?")


def test_a_name_in_the_catalogue_wins_over_a_folder(place: Path) -> None:
    Path("texts").rename("tiny")
    Path("tiny/a.txt").write_text(sentences())
    Path("data/catalog.yaml").write_text("tiny:\n  kind: docstrings\n  title: Tiny\n")
    configure(download={"corpus": "tiny"})
    assert "error: data/catalog.yaml: tiny.language: missing; expected a text" in errors_of(
        "download"
    )
    configure(download={"corpus": "./tiny"})
    run_all("download")
    assert json.loads(Path("data/download/manifest.json").read_text())["corpus"] == "tiny"


def test_an_empty_folder_is_told(place: Path) -> None:
    assert errors_of("download") == [
        "error: download.corpus: texts is an empty folder; put .txt, .jsonl, .ndjson, .json, .csv, "
        ".tsv, .parquet, .html, .htm, each also with .gz, .bz2, .xz, .zst, or archives of them "
        "(.zip, .tar, .tar.gz and so on) there"
    ]


def test_an_unreadable_file_is_told(place: Path) -> None:
    # A read that fails for everyone, also for root: the memory of this process at address 0.
    Path("texts/a.txt").symlink_to("/proc/self/mem")
    assert errors_of("download") == [
        "error: texts/a.txt: cannot be read: Input/output error; make it readable or take it away"
    ]
    assert not Path("data/download/manifest.json").exists()


def test_a_corpus_in_a_folder_without_permission_is_told(place: Path) -> None:
    Path("texts/inner").mkdir()
    Path("texts/inner/a.txt").write_text(sentences())
    configure(download={"corpus": "texts/inner"})
    run_all("download")  # all is imported while everything can be read
    place.chmod(0o755)
    Path("texts").chmod(0o444)
    with bound_by_permissions():
        assert errors_of("download") == [
            "error: texts/inner: cannot be read: Permission denied; "
            "make it readable or take it away"
        ]
    Path("texts").chmod(0o755)


def test_missing_inputs_are_told(place: Path) -> None:
    assert errors_of("clean") == [
        "error: data/download/manifest.json: no such file; run `dvc repro` to make it"
    ]
    assert errors_of("tokenize") == [
        "error: data/clean/train.parquet: no such file; run `dvc repro clean` to make it"
    ]
    assert errors_of("encode") == [
        "error: data/tokenize/tokenizer.model: no such file; run `dvc repro tokenize` to make it"
    ]
    Path("texts/a.txt").write_text(sentences())
    run_all("download")
    Path("data/download/files/a.txt").unlink()
    assert errors_of("clean") == [
        "error: data/download/files/a.txt: cannot be read: No such file or directory; "
        "mend or remove the file and run `dvc repro -f download`"
    ]


def test_an_empty_corpus_is_told(place: Path) -> None:
    Path("texts/a.txt").write_text("\n\n  \n")
    run_all("download")
    assert errors_of("clean") == [
        "error: clean: the corpus holds no document; put text into the files that download.corpus "
        "names"
    ]


def test_fewer_documents_than_splits_are_told(place: Path) -> None:
    Path("texts/a.txt").write_text("one line\nanother line\n")
    run_all("download")
    assert errors_of("clean") == [
        "error: clean: 2 documents are left, fewer than the 3 splits (train, valid, test); "
        "add text or cut it finer with download.document"
    ]


def test_invalid_bytes_under_the_limit_are_repaired_and_counted(place: Path) -> None:
    content = sentences().encode().replace(b"7th", b"7\xff\x00h")
    Path("texts/a.txt").write_bytes(content.replace(b"\n", b"\r\n"))
    configure(clean={"max_invalid_bytes_fraction": 0.01})
    run_all(*STAGES)
    repaired = json.loads(Path("metrics/clean.json").read_text())["changed"]
    assert repaired["invalid_bytes"] == repaired["control_characters"] == 30
    assert repaired["line_ends"] == 399


def test_invalid_bytes_over_the_limit_are_told_by_file_and_byte(place: Path) -> None:
    Path("texts/a.txt").write_bytes(b"0123456789" * 10 + b"\xff" + sentences().encode())
    configure(clean={"max_invalid_bytes_fraction": 0})
    run_all("download")
    size = Path("texts/a.txt").stat().st_size
    assert errors_of("clean") == [
        f"error: data/download/files/a.txt: 1 bytes are not UTF-8 ({1 / size:.3%} of the text), "
        "the first at byte 100; allowed: clean.max_invalid_bytes_fraction 0; "
        "set download.encoding, convert the file to UTF-8 or raise that setting"
    ]


def test_a_vocabulary_larger_than_the_text_can_fill_is_told_and_the_size_named_works(
    place: Path,
) -> None:
    Path("texts/a.txt").write_text(sentences())
    configure(tokenize={"vocabulary_size": 60_000})
    run_all("download", "clean")
    (line,) = errors_of("tokenize")
    largest = int(line.partition("set ")[2].split()[0])
    assert line == (
        "error: tokenize.vocabulary_size: 60000 is more than the text can fill; "
        f"set {largest} or less, or give more text"
    )
    assert not Path("data/tokenize/tokenizer.model").exists()
    configure(tokenize={"vocabulary_size": largest})
    run_all("tokenize")


def test_a_file_where_the_output_folder_should_be_is_told(place: Path) -> None:
    Path("texts/a.txt").write_text(sentences())
    run_all("download", "clean", "tokenize")
    blocked = Path("blocked")
    blocked.write_text("a file")
    for stage, name in (
        ("download", ""),
        ("clean", "/.unfinished"),
        ("tokenize", "/tokenizer.model"),
        ("encode", "/train.npy"),
    ):
        reason = "Not a directory" if stage in ("download", "clean") else "File exists"
        result = run(stage, "--out", "blocked")
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1] == (
            f"error: blocked{name}: cannot be written: {reason}; nothing half-written is "
            "left; a file stands where a folder is needed: move it away"
        )
    assert blocked.read_text() == "a file"


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("download", "/files/a.txt"),
        ("clean", "/.unfinished"),
        ("tokenize", "/tokenizer.model"),
        ("encode", "/train.npy"),
    ],
)
def test_an_output_folder_that_may_not_be_written_is_told(
    place: Path, stage: str, name: str
) -> None:
    Path("texts/a.txt").write_text(sentences())
    run_all(*STAGES[: STAGES.index(stage) + 1])  # all is imported while everything can be read
    place.chmod(0o755)
    Path("locked").mkdir()
    Path("locked").chmod(0o555)
    with bound_by_permissions():
        result = run(stage, "--out", "locked")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        f"error: locked{name}: cannot be written: Permission denied; nothing half-written is "
        "left; make the folder writable or work in another one"
    )
    assert list(Path("locked").iterdir()) == []


def full_disk(limit: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


@pytest.mark.parametrize(
    ("stage", "limit", "name"),
    [
        ("download", 4096, "data/download/files/a.txt"),
        ("clean", 4096, "data/clean/.unfinished/0000000.documents"),
        ("clean", 1 << 20, "data/clean/.unfinished/0000000.table"),
        ("tokenize", 4096, "data/tokenize/tokenizer.model"),
        ("encode", 4096, "data/encode/train.npy"),
    ],
)
def test_a_full_disk_is_told_and_nothing_half_written_stays(
    place: Path, stage: str, limit: int, name: str
) -> None:
    Path("texts/a.txt").write_text(sentences(3000))
    run_all(*STAGES[: STAGES.index(stage)])
    done = subprocess.run(
        [sys.executable, "-c", f"from stages.{stage} import main; main()"],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=full_disk(limit),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"error: {name}: cannot be written: File too large; nothing half-written is left; "
        "raise the limit on file size (ulimit -f) and run the same command again"
    )
    assert not [path for path in Path("data", stage).rglob("*") if path.is_file()]


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        children = psutil.Process(process.pid).children()
        return [child for child in children if "LokyProcess" in " ".join(child.cmdline())]
    except psutil.NoSuchProcess:
        return []


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["clean", "encode"])
def test_a_worker_killed_in_the_middle_of_a_shard_changes_no_byte(place: Path, stage: str) -> None:
    lines = sentences(6000).split("\n")
    for number in range(6):  # of a shard each
        text = "\n".join(f"{number} {line}" for line in lines * 2)
        Path(f"texts/{number}.txt").write_text(text)
    configure(run={"workers": 2})
    run_all(*STAGES[: STAGES.index(stage) + 1])
    folder = Path("data", stage)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(folder)
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin"}
    command = [sys.executable, "-m", f"stages.{stage}"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        while process.poll() is None and not (workers := workers_of(process)):
            time.sleep(0.01)
        time.sleep(0.3)
        workers[0].kill()
        _, log = process.communicate()
    assert process.returncode == 0
    assert b"a worker process was ended by the system; its work is done again" in log
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("stage", STAGES)
def test_help_is_there_at_once(stage: str) -> None:
    heavy = ("numpy", "pandas", "pyarrow", "torch", "pydantic", "sentencepiece", "joblib", "mlflow")
    script = f"import sys, stages.{stage}; print([m for m in {heavy} if m in sys.modules])"
    shown = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert shown.stdout == "[]\n"
    result = run(stage, "--help")
    assert result.exit_code == 0
    assert "--params" in result.output
