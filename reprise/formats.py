"""Which files can be read, by their endings: a format, perhaps packed, perhaps in an archive."""

from pathlib import PurePath

FORMATS = {
    ".txt": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".html": "html",
    ".htm": "html",
}
PACKINGS = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}
ARCHIVES = (".zip", ".tar", ".tgz", ".tbz2", ".txz", *(f".tar{ending}" for ending in PACKINGS))


READABLE = (
    f"{', '.join(FORMATS)}, each also with {', '.join(PACKINGS)}, "
    "or archives of them (.zip, .tar, .tar.gz and so on)"
)


def packing_of(name: str) -> str | None:
    """gzip, bz2, xz or zstd by the last ending; None for a file that is not packed."""
    return PACKINGS.get(PurePath(name.lower()).suffix)


def without_packing(name: str) -> str:
    """a.txt.gz -> a.txt"""
    return name[: -len(PurePath(name).suffix)] if packing_of(name) else name


def format_of(name: str) -> str | None:
    """The format by the ending below a packing's; None for archives and unknown files."""
    return FORMATS.get(PurePath(without_packing(name).lower()).suffix)


def is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVES)


def archive_packing(name: str) -> str | None:
    """What a tar archive is packed with: gzip, bz2, xz, zstd or nothing."""
    short = {".tgz": "gzip", ".tbz2": "bz2", ".txz": "xz"}
    return short.get(PurePath(name.lower()).suffix) or packing_of(name)


def is_text_encoding(name: str) -> bool:
    """Python knows a character encoding of that name."""
    try:
        "".encode(name)  # LookupError for codecs that are not of text, too
    except (LookupError, ValueError):
        return False
    return True
