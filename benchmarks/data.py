"""Speed and memory of the data stages, beside yardsticks on the same text in the same run.

python benchmarks/data.py --text FOLDER [--sizes 10,100,1000] [--peers PYTHON]

FOLDER holds English text (.txt, .txt.gz). Its sentences, with words exchanged so that no long
passage comes twice, are drawn into documents of about 3 kB, as many as each size (in MB) needs.
Each stage runs as a person would run it, on 2 workers. Memory is the largest sum, over all
processes of the stage, of the memory that is theirs (PSS), looked at some fifty times or more.
Yardsticks run at 100 MB or the largest size below. Nothing else may run meanwhile.
"""

import gzip
import hashlib
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import psutil
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
STAGES = ("download", "clean", "tokenize", "encode")
FILE_MB = 25
DOCUMENT_BYTES = 3000
YARDSTICK_MB = 100
VOCABULARY = 8000
WEB_RULES = ["encoding", "unicode", "control_characters", "repetition", "quality", "personal_data"]


@click.command()
@click.option("--text", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--sizes", default="10,100,1000", show_default=True, help="MB, with commas between.")
@click.option("--peers", help="A Python with datatrove and datasketch, for their yardsticks.")
def main(text: Path, sizes: str, peers: str | None) -> None:
    """Measure the data stages."""
    wanted = [int(size) for size in sizes.split(",")]
    with tempfile.TemporaryDirectory() as name:
        for size in wanted:
            folder = Path(name) / f"{size}"
            write_text(text, folder / "texts", size)
            configure(folder)
            for stage in STAGES:
                seconds, memory = measured(stage, folder)
                show(f"{stage}, {size} MB", size, seconds, memory)
        fit = max((size for size in wanted if size <= YARDSTICK_MB), default=min(wanted))
        yardsticks(Path(name) / f"{fit}", fit, peers)


def show(what: str, size: float, seconds: float, memory: float | None = None) -> None:
    peak = f"  {memory / 2**20:7.0f} MiB" if memory else ""
    click.echo(f"{what:60} {size / seconds:8.1f} MB/s  {seconds:7.1f} s{peak}")


def write_text(source: Path, folder: Path, size: int) -> None:
    """`size` MB in files of FILE_MB, JSON lines; always the same."""
    dice = random.Random(1)
    folder.mkdir(parents=True)
    sentences, words = sentences_of(source)
    written, number = 0, 0
    while written < size * 1_000_000:
        with (folder / f"{number:04}.jsonl").open("w", encoding="utf-8") as file:
            end = min(written + FILE_MB * 1_000_000, size * 1_000_000)
            while written < end:
                document = document_of(sentences, words, dice)
                written += len(document.encode())
                file.write(json.dumps({"text": document}, ensure_ascii=False) + "\n")
        number += 1


def sentences_of(source: Path) -> tuple[list[list[str]], list[str]]:
    texts = []
    for path in sorted(source.glob("*.txt*")):
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        texts.append(content.decode("utf-8-sig", "replace"))
    words = " ".join(texts).split()
    sentences, start = [], 0
    for place, word in enumerate(words):
        if word.endswith((".", "!", "?")):
            sentences.append(words[start : place + 1])
            start = place + 1
    return sentences, words


def document_of(sentences: list[list[str]], words: list[str], dice: random.Random) -> str:
    parts, size = [], 0
    while size < DOCUMENT_BYTES:
        sentence = list(dice.choice(sentences))
        for place in range(dice.randrange(8), len(sentence), 8):
            sentence[place] = dice.choice(words)
        parts.append(" ".join(sentence))
        size += len(parts[-1]) + 1
        if dice.random() < 0.2:
            parts[-1] += "\n"
    return " ".join(parts).replace("\n ", "\n")


def configure(folder: Path, **changes: dict[str, Any]) -> None:
    yaml = YAML()
    params = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["download"]["corpus"] = "texts"
    params["tokenize"]["vocabulary_size"] = VOCABULARY
    params["run"]["workers"] = 2
    for section, values in changes.items():
        params[section].update(values)
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(params, file)
    (folder / "data").mkdir(exist_ok=True)
    shutil.copy(ROOT / "data/catalog.yaml", folder / "data/catalog.yaml")


def measured(stage: str, folder: Path) -> tuple[float, float]:
    """Seconds, and the largest memory of all processes of the stage together."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", f"stages.{stage}"],
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, memory_of(process.pid))
        time.sleep(max(0.1, (time.monotonic() - started) / 50))  # looking takes time itself
    if process.returncode:
        raise click.ClickException((process.stderr.read() if process.stderr else b"").decode())
    return time.monotonic() - started, peak


def memory_of(process: int) -> int:
    total = 0
    try:
        parent = psutil.Process(process)
        for each in (parent, *parent.children(recursive=True)):
            try:
                total += each.memory_full_info().pss
            except psutil.Error:
                continue
    except psutil.Error:
        return total
    return total


def yardsticks(folder: Path, size: int, peers: str | None) -> None:
    click.echo(f"Yardsticks, {size} MB")
    files = sorted((folder / "texts").iterdir())
    show("sha256 once over the files", size, timed(lambda: [sha256(path) for path in files]))
    show("default rules, plain Python, one core", size, timed(lambda: plain_clean(files)))

    configure(folder, clean={"near_duplicates": "off"})
    without, _ = measured("clean", folder)
    show("clean without near duplicates", size, without)
    configure(folder)
    near, _ = measured("clean", folder)
    show("clean with near duplicates", size, near)
    show("near duplicates alone (the difference)", size, near - without)
    configure(folder, clean={"near_duplicates": "off", "rules": WEB_RULES})
    web, _ = measured("clean", folder)
    show(f"clean with {', '.join(WEB_RULES)}", size, web)
    configure(folder)
    measured("clean", folder)

    sample = [text for path in files for text in texts_in(path)]
    show("vocabulary: the stage", min(20, size), measured("tokenize", folder)[0])
    show("vocabulary: SentencePiece alone", min(20, size), sentencepiece_alone(sample))
    for kind in ("bpe", "unigram"):
        configure(folder, tokenize={"type": kind})
        measured("tokenize", folder)
        model = folder / "data/tokenize/tokenizer.model"
        show(f"encode {kind}: the stage", size, measured("encode", folder)[0])
        show(f"encode {kind}: SentencePiece into lists, one core", size, lists(model, sample))
    if peers:
        run_peers(peers, folder, size)


def timed(work: Any) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def texts_in(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)["text"]


def plain_clean(files: list[Path]) -> None:
    """The default rules as one would write them first; results in memory."""
    import unicodedata

    import ftfy

    seen, kept = set(), []
    mail = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
    address = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b")
    digits = re.compile(r"\b(?:\d[ -]?){13,19}\b")
    phone = re.compile(r"\+?\d[\d ()-]{7,}\d")
    for path in files:
        for text in texts_in(path):
            text = ftfy.fix_encoding(text)
            text = unicodedata.normalize("NFC", text)
            text = re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", text).replace("\u2581", "_")
            text = "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")
            if not 40 <= len(text) <= 10_000_000:
                continue
            for pattern in (digits, mail, address, phone):
                text = pattern.sub("<masked>", text)
            digest = hashlib.sha256(text.encode()).digest()
            if digest not in seen:
                seen.add(digest)
                kept.append(text)


def sentencepiece_alone(texts: list[str]) -> float:
    """BPE on the same amount of text, with the stage's own threads, lines as sentences."""
    import sentencepiece

    lines, size = [], 0
    for text in texts:
        size += len(text)
        if size > 20_000_000:
            break
        lines += text.split("\n")
    model = io.BytesIO()
    return timed(
        lambda: sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type="bpe",
            vocab_size=VOCABULARY,
            byte_fallback=True,
            normalization_rule_name="identity",
            max_sentence_length=100_000,
            num_threads=4,
            minloglevel=2,
        )
    )


def lists(model: Path, texts: list[str]) -> float:
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    return timed(lambda: [processor.encode(text, num_threads=1) for text in texts])


def run_peers(python: str, folder: Path, size: int) -> None:
    """Each prints its own seconds: datatrove's filters, datasketch's MinHash."""
    for script, what in (
        (DATATROVE, "datatrove: ftfy, Gopher repetition and quality, personal data; 2 tasks"),
        (DATASKETCH, "datasketch: MinHash of 120 over 5 words, one core"),
    ):
        done = subprocess.run(
            [python, "-c", script, str(folder / "texts"), str(folder / "peer")],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            click.echo(f"{what}: not measured: {done.stderr.strip().splitlines()[-1]}")
        else:
            show(what, size, float(done.stdout.split()[-1]))


DATATROVE = """
import sys, time
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.formatters import FTFYFormatter, PIIFormatter
from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.writers import ParquetWriter
if __name__ == "__main__":
    source, out = sys.argv[1:]
    started = time.monotonic()
    LocalPipelineExecutor(
        pipeline=[
            JsonlReader(source), FTFYFormatter(), GopherRepetitionFilter(), GopherQualityFilter(),
            PIIFormatter(), ParquetWriter(out),
        ],
        tasks=2, workers=2, start_method="fork", logging_dir=out + "-logs",
    ).run()
    print(time.monotonic() - started)
"""

DATASKETCH = """
import json, pathlib, sys, time
from datasketch import MinHash
started = time.monotonic()
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    for line in path.open(encoding="utf-8"):
        words = json.loads(line)["text"].lower().split()
        sketch = MinHash(num_perm=120)
        sketch.update_batch([" ".join(words[i : i + 5]).encode() for i in range(len(words) - 4)])
print(time.monotonic() - started)
"""

if __name__ == "__main__":
    main()
