"""Raw files as they were published, with a manifest that says what and from where.

data/download/manifest.json
    corpus   name of the catalogue entry, or of the file or folder
    files    path (relative to the manifest), bytes, sha256, format (text, jsonl, parquet),
             document (file, paragraph, line; text only), text_field (jsonl, parquet), split
    sources  where the files come from; how many others were ignored or not parsed
    licence
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from reprise.catalog import Entry
from reprise.docstrings import installed, json_line, licence_of, read_shard, shards
from reprise.errors import PipelineError
from reprise.files import readable_write_errors, replacing, sha256_of, write_json
from reprise.parallel import ordered_map
from reprise.params.download import DownloadParams
from reprise.progress import Progress

log = logging.getLogger(__name__)

FORMATS = {".txt": "text", ".jsonl": "jsonl", ".parquet": "parquet"}
ENDINGS = ", ".join([*FORMATS, *(f"{ending}.gz" for ending in FORMATS)])
DOCSTRINGS, FILES = "docstrings", "files"  # the folders that download writes
COPY_BYTES = 1 << 20
IGNORED_NAMES_TOLD = 20


def download_docstrings(corpus: str, entry: Entry, out: Path, workers: int) -> dict[str, Any]:
    """Write out/docstrings/<package>.jsonl and the manifest, which is returned."""
    start_over(out)
    files, sources = [], []
    with Progress("download", None, "files") as progress:
        for package in entry.packages:
            name = f"{DOCSTRINGS}/{package}.jsonl"
            verified, documents, unparsed = 0, 0, []
            with replacing(out / name) as scratch, scratch.open("wb") as file:
                for shard in ordered_map(read_shard, shards(package), workers):
                    file.writelines(json_line(*document) for document in shard.documents)
                    verified += shard.files
                    documents += len(shard.documents)
                    unparsed += shard.unparsed
                    progress.advance(shard.files)
            files.append(described(out, name, "jsonl") | {"text_field": "text"})
            sources.append(
                {
                    "package": package,
                    "version": installed(package).version,
                    "licence": licence_of(package),
                    "files_verified": verified,
                    "files_not_parsed": unparsed,
                    "documents": documents,
                }
            )
    manifest = {
        "corpus": corpus,
        "title": entry.title,
        "language": entry.language,
        "licence": entry.licence,
        "homepage": entry.homepage,
        "files": files,
        "sources": sources,
    }
    write_json(out / "manifest.json", manifest)
    return manifest


def download_own(source: Path, params: DownloadParams, out: Path) -> dict[str, Any]:
    """Copy a person's file or folder to out/files and write the manifest, which is returned."""
    if out.resolve().is_relative_to(source.resolve()) or source.resolve().is_relative_to(
        out.resolve()
    ):
        raise PipelineError(
            f"download.corpus: {source} and the output {out} lie in one another; "
            "keep your texts in a folder of their own"
        )
    found, ignored = own_files(source)
    start_over(out)
    files = []
    for path, name in found:
        target = f"{FILES}/{name}"
        copy(path, out / target)
        kind = format_of(path)
        reading = (
            {"document": params.document} if kind == "text" else {"text_field": params.text_field}
        )
        files.append(described(out, target, str(kind)) | reading)
    manifest = {
        "corpus": source.resolve().name,
        "licence": "not stated",
        "files": files,
        "sources": [
            {
                "ignored": len(ignored),
                "ignored_names": ignored[:IGNORED_NAMES_TOLD],
                "empty": sum(file["bytes"] == 0 for file in files),
            }
        ],
    }
    write_json(out / "manifest.json", manifest)
    return manifest


def own_files(source: Path) -> tuple[list[tuple[Path, str]], list[str]]:
    """(path, name) of each file that can be read, by name, and the names of all others.

    A link to a file is read as that file. A link to a folder is among the others, as "name/":
    what lies behind it may be large, lie elsewhere, or hold the link itself.
    """
    with readable(source):
        pairs = sorted(_inside(source), key=lambda pair: pair[1])
    for _, name in pairs:
        if any("\ud800" <= character <= "\udfff" for character in name):
            raise PipelineError(
                f"download.corpus: the name {name!r} in {source} is not UTF-8; rename the file"
            )
    usable = [pair for pair in pairs if _is_usable(pair[1])]
    ignored = [name for _, name in pairs if not _is_usable(name)]
    if not pairs:
        raise PipelineError(f"download.corpus: {source} is an empty folder; put {ENDINGS} there")
    if not usable:
        raise PipelineError(
            f"download.corpus: {source} holds no file that can be read, but {len(ignored)} others "
            f"({_some(ignored)}); expected {ENDINGS}"
        )
    for path, _ in usable:
        with readable(path):
            _check_file(path)
    if ignored:
        log.warning(
            "download: %d files or linked folders ignored (%s)", len(ignored), _some(ignored)
        )
    return usable, ignored


def _inside(source: Path) -> Iterator[tuple[Path, str]]:
    if source.is_file():
        yield source, source.name
        return
    for folder, folders, files in os.walk(source, onerror=_raise):
        links = [name + "/" for name in folders if Path(folder, name).is_symlink()]
        place = Path(folder).relative_to(source)
        for name in [*files, *links]:
            slash = "/" if name.endswith("/") else ""
            yield Path(folder, name), (place / name).as_posix() + slash


def _raise(error: OSError) -> NoReturn:
    raise error


def _is_usable(name: str) -> bool:
    return not name.endswith("/") and format_of(Path(name)) is not None


def _check_file(path: Path) -> None:
    if path.is_symlink() and not path.exists():
        raise PipelineError(f"{path}: a broken link; mend it or take it away")
    if not path.is_file():
        raise PipelineError(f"{path}: not a regular file; take it away")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn the system's refusals to read what a person gave into one line."""
    try:
        yield
    except OSError as error:
        raise PipelineError(
            f"{error.filename or path}: cannot be read: {error.strerror}; "
            "make it readable or take it away"
        ) from None


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def format_of(path: Path) -> str | None:
    """text, jsonl or parquet by the file's ending, with or without .gz; None for others."""
    name = path.name.lower().removesuffix(".gz")
    return next((kind for ending, kind in FORMATS.items() if name.endswith(ending)), None)


def copy(source: Path, target: Path) -> None:
    """Copy in pieces; a source that cannot be read is told apart from a target."""
    with replacing(target) as scratch, scratch.open("wb") as file:
        for piece in _pieces(source):
            file.write(piece)


def _pieces(source: Path) -> Iterator[bytes]:
    with readable(source), source.open("rb") as file:
        while piece := file.read(COPY_BYTES):
            yield piece


def described(out: Path, name: str, kind: str) -> dict[str, Any]:
    path = out / name
    return {
        "path": name,
        "bytes": path.stat().st_size,
        "sha256": sha256_of(path),
        "format": kind,
        "split": None,
    }


def start_over(out: Path) -> None:
    """Take away what an earlier download left: first the manifest, so that no half is believed."""
    with readable_write_errors(out):
        (out / "manifest.json").unlink(missing_ok=True)
    for folder in (DOCSTRINGS, FILES):
        shutil.rmtree(out / folder, ignore_errors=True)


def digest_of(manifest: dict[str, Any]) -> str:
    """One hash over all files of a manifest."""
    lines = "".join(f"{file['sha256']}  {file['path']}\n" for file in manifest["files"])
    return hashlib.sha256(lines.encode()).hexdigest()


def without_text(manifest: dict[str, Any]) -> str:
    """What the closing line tells of the files that gave no text."""
    sources = manifest["sources"]
    if "ignored" not in sources[0]:
        unparsed = sum(len(source["files_not_parsed"]) for source in sources)
        return f"{unparsed} files that could not be parsed"
    (own,) = sources
    return f"{own['ignored']} files of unknown kinds or linked folders, {own['empty']} empty files"
