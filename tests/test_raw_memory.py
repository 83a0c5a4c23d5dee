"""Very long and very many documents are read in bounded memory."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raw_reading import source

from reprise.raw import Reading, documents_of, shards, shards_of
from reprise.raw.tables import BATCH_ROWS

# kind, document, encoding, what is before and after 100 MB
LONG = [
    ("text", "line", "utf-8", "one\n", "\ntwo"),
    ("text", "line", "latin-1", "one\n", "\ntwo"),
    ("text", "article", "utf-8", " = one =\n\n", "\n\n = two =\n\n"),
    ("jsonl", "line", "utf-8", '{"text": "one"}\n{"text": "', '"}\n{"text": "two"}'),
    ("csv", "line", "utf-8", 'text\none\n"', '"\ntwo'),
    ("csv", "line", "utf-8", "text\none\n", "\ntwo"),
]
GROWTH = """
import json, resource, sys
from pathlib import Path
from reprise.raw import Reading, Source, documents_of, shards_of
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
path = Path(sys.argv[1])
for kind, document, encoding, head, tail in json.loads(sys.argv[3]):
    with path.open("wb") as file:
        file.write(head.encode())
        file.seek(100_000_000, 1)  # a hole, which reads as NULs
        file.write(tail.encode())
    source = Source("a", path, kind, document, "text", None, encoding)
    found, size = [], 0
    for shard in shards_of(source, 1000):
        reading = Reading()
        found += [(shard.too_long, text[:9]) for _, text in documents_of(shard, reading)]
        size += reading.bytes + reading.skipped_bytes
    assert [too_long for too_long, _ in found].count(True) == 1, kind
    assert "two" in found[-1][1], kind
    assert size == path.stat().st_size, kind
source = Source("a", Path(sys.argv[2]), "parquet", "line", "text", None)
assert sum(shard.rows is not None and len(shard.rows) for shard in shards_of(source, 10**6)) == 5000
print(peak() - before)
"""


@pytest.mark.slow
def test_documents_and_row_groups_of_100_mb_take_little_memory(tmp_path: Path) -> None:
    texts = pa.table({"text": ["x" * 20_000] * 5000})
    pq.write_table(texts, tmp_path / "b", use_dictionary=False)
    files = [str(tmp_path / name) for name in "ab"]
    command = [sys.executable, "-c", GROWTH, *files, json.dumps(LONG)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(run.stdout) * 1024 < 10 * shards.SHARD_BYTES


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_a_million_empty_documents_are_read_in_shards_of_bounded_size(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "a"
    if kind == "parquet":
        pq.write_table(pa.table({"text": [""] * 1_000_000}), path)
    else:
        path.write_text('{"text": ""}\n' * 1_000_000)
    documents = 0
    for shard in shards_of(source(path, format=kind), 1000):
        assert len(shard.content) <= shards.SHARD_BYTES + 100
        assert shard.rows is None or shard.rows.num_rows <= BATCH_ROWS
        documents += sum(text == "" for _, text in documents_of(shard, Reading()))
    assert documents == 1_000_000
