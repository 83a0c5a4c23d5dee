"""Raw files cut into shards of whole documents, and shards cut into documents.

A shard is some MB of a file's bytes, unpacked and in UTF-8, or some rows of its table (parquet).
Cutting shards is cheap and done in one process; what a shard holds is found out by whoever works
on it. Documents are named by where they are: "novels/emma.txt:120" begins on line 120.
"""

from reprise.raw.decoding import Reading, decoded, unified_line_ends
from reprise.raw.documents import documents_of
from reprise.raw.shards import Shard, shards_of
from reprise.raw.sources import Source, read_manifest

__all__ = [
    "Reading",
    "Shard",
    "Source",
    "decoded",
    "documents_of",
    "read_manifest",
    "shards_of",
    "unified_line_ends",
]
