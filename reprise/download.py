"""Raw files as they were published, with a manifest that says what and from where.

data/download/manifest.json
    corpus   name of the catalogue entry, or of the file or folder
    title, language, homepage   as in the catalogue; licence
    files    path (relative to the manifest), bytes, sha256, format (text, jsonl, json, csv,
             parquet, html), document (file, paragraph, line, article; text only), text_field
             (jsonl, json, csv, parquet), encoding (all but parquet), split. Packed files stay
             packed; the members of an archive are files/<archive>/<member>, the pieces of a
             file files/<file>/<piece>.
    sources  where the files come from, as the catalogue has it; how many others were ignored
"""

import difflib
import encodings.aliases
import hashlib
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from filelock import FileLock, Timeout

from reprise.archives import unpack
from reprise.catalog import (
    FORMATS_WITH_FIELDS,
    DocstringsEntry,
    FilesEntry,
    Member,
    Piece,
    PublishedFile,
)
from reprise.checkout import main_checkout
from reprise.docstrings import installed, json_line, licence_of, read_shard, shards
from reprise.errors import PipelineError
from reprise.fetching import Wanted, address_below, fetch_all
from reprise.files import readable_write_errors, replacing, sha256_of, write_json
from reprise.formats import READABLE, format_of, is_archive, is_text_encoding
from reprise.parallel import Workers, ordered_map
from reprise.params.download import DownloadParams
from reprise.progress import Progress

log = logging.getLogger(__name__)

DOCSTRINGS, FILES = "docstrings", "files"  # the folders that download writes
WAITING = ".downloads"  # in the project's folder: DVC takes the output away before each run
MIRROR = "REPRISE_MIRROR"
COPY_BYTES = 1 << 20
IGNORED_NAMES_TOLD = 20


def download_docstrings(
    corpus: str, entry: DocstringsEntry, out: Path, workers: Workers
) -> dict[str, Any]:
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
            reading = {"format": "jsonl", "text_field": "text", "encoding": "utf-8"}
            facts = {"bytes": (out / name).stat().st_size, "sha256": sha256_of(out / name)}
            files.append({"path": name, **facts, **reading, "split": None})
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
    manifest = _described(corpus, entry) | {"files": files, "sources": sources}
    write_json(out / "manifest.json", manifest)
    return manifest


def _described(corpus: str, entry: DocstringsEntry | FilesEntry) -> dict[str, Any]:
    return {"corpus": corpus} | entry.model_dump(
        include={"title", "language", "licence", "homepage"}
    )


def download_files(
    corpus: str, entry: FilesEntry, params: DownloadParams, out: Path
) -> dict[str, Any]:
    """Fetch an entry's files to out/files and write the manifest, which is returned.

    What comes waits in the project's folder until all is there, and is kept when this fails.
    """
    start_over(out)
    waiting = main_checkout() / WAITING
    with _alone_in(waiting):
        fetch_all([_wanted(corpus, entry, file) for file in entry.files], waiting)
        files, ignored = [], []
        for file in entry.files:
            fetched = waiting / file.sha256
            if is_archive(file.path):
                members, others = _unpacked_members(corpus, entry, file, fetched, params, out)
                files += members
                ignored += others
                continue
            if file.pieces:
                files += _cut_pieces(entry, file, file.pieces, fetched, out)
                continue
            with replacing(out / FILES / file.path) as scratch:
                _link_or_copy(fetched, scratch)
            facts = {"bytes": file.bytes, "sha256": file.sha256}
            path = f"{FILES}/{file.path}"
            files.append({"path": path, **facts, **entry.reading(file), "split": file.split})
        addresses = dict.fromkeys(
            source for file in entry.files for source in entry.sources_of(file)
        )
        sources = [{"addresses": list(addresses), **_left_out(files, ignored)}]
        manifest = _described(corpus, entry) | {"files": files, "sources": sources}
        write_json(out / "manifest.json", manifest)
        for file in entry.files:
            (waiting / file.sha256).unlink(missing_ok=True)
    return manifest


def _wanted(corpus: str, entry: FilesEntry, file: PublishedFile) -> Wanted:
    name = f"{corpus}/{file.path}"
    in_mirror = f"{entry.mirrored_as or corpus}/{file.path}"
    mirror = os.environ.get(MIRROR)
    mirrored = address_below(from_the_project(mirror), in_mirror) if mirror else None
    return Wanted(
        name=name,
        bytes=file.bytes,
        sha256=file.sha256,
        published=tuple(
            address_below(from_the_project(source), file.published_path)
            for source in entry.sources_of(file)
        ),
        mirrored=mirrored,
    )


def from_the_project(address: str) -> str:
    """An address; a path that is relative begins at the project's folder, wherever DVC runs."""
    if "://" in address or "::" in address:
        return address
    return str(main_checkout() / Path(address).expanduser())


@contextmanager
def _alone_in(waiting: Path) -> Iterator[None]:
    """One download at a time: two might want the same file."""
    with readable_write_errors(waiting):
        waiting.mkdir(parents=True, exist_ok=True)
        lock = FileLock(waiting / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("download: waits for another download in %s", waiting)
            lock.acquire()
    try:
        yield
    finally:
        (waiting / "lock").unlink(missing_ok=True)
        lock.release()


def _link_or_copy(source: Path, target: Path) -> None:
    target.unlink()
    try:
        target.hardlink_to(source)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


def _unpacked_members(
    corpus: str,
    entry: FilesEntry,
    file: PublishedFile,
    archive: Path,
    params: DownloadParams,
    out: Path,
) -> tuple[list[dict[str, Any]], list[str]]:
    """(files for the manifest, names of the members that are not used)."""
    name = f"{corpus}/{file.path}"
    known = {member.path: member for member in file.members or ()}
    found, ignored = unpack(
        archive, name, out / FILES / file.path, params, known if file.members else None
    )
    files = []
    for item in found:
        member = known.get(item.name) or Member(path=item.name)
        try:
            reading = entry.reading(file, member)
        except PipelineError as error:
            raise PipelineError(f"{name}: {error}, in the catalogue") from None
        path = f"{FILES}/{file.path}/{item.name}"
        facts = {"bytes": item.bytes, "sha256": item.sha256}
        files.append({"path": path, **facts, **reading, "split": member.split})
    return files, [f"{file.path}/{other}" for other in ignored]


def _cut_pieces(
    entry: FilesEntry, file: PublishedFile, pieces: tuple[Piece, ...], whole: Path, out: Path
) -> list[dict[str, Any]]:
    """The pieces as files for the manifest."""
    files = []
    for piece in pieces:
        path = f"{FILES}/{file.path}/{piece.path}"
        size, sha256 = copy(whole, out / path, piece.first_byte, piece.bytes)
        facts = {"bytes": size, "sha256": sha256}
        reading = entry.reading(file, piece)
        files.append({"path": path, **facts, **reading, "split": piece.split})
    return files


def _left_out(files: list[dict[str, Any]], ignored: list[str]) -> dict[str, Any]:
    return {
        "ignored": len(ignored),
        "ignored_names": ignored[:IGNORED_NAMES_TOLD],
        "empty": sum(file["bytes"] == 0 for file in files),
    }


def download_own(source: Path, params: DownloadParams, out: Path) -> dict[str, Any]:
    """Copy a person's file or folder to out/files and write the manifest, which is returned."""
    if out.resolve().is_relative_to(source.resolve()) or source.resolve().is_relative_to(
        out.resolve()
    ):
        raise PipelineError(
            f"download.corpus: {source} and the output {out} lie in one another; "
            "keep your texts in a folder of their own"
        )
    _check_encoding(params.encoding)
    found, ignored = own_files(source)
    start_over(out)
    files = []
    for path, name in found:
        target = f"{FILES}/{name}"
        if is_archive(name):
            with readable(path):
                members, others = unpack(path, str(path), out / target, params)
            files += [
                _own_file(f"{target}/{member.name}", member.bytes, member.sha256, params)
                for member in members
            ]
            ignored += [f"{name}/{other}" for other in others]
        else:
            files.append(_own_file(target, *copy(path, out / target), params))
    if ignored:
        log.warning(
            "download: %d files or linked folders ignored (%s)", len(ignored), _some(ignored)
        )
    manifest = {
        "corpus": source.resolve().name,
        "licence": "not stated",
        "files": files,
        "sources": [_left_out(files, ignored)],
    }
    write_json(out / "manifest.json", manifest)
    return manifest


def _own_file(path: str, size: int, sha256: str, params: DownloadParams) -> dict[str, Any]:
    kind = format_of(path)
    reading: dict[str, str] = {}
    if kind == "text":
        reading["document"] = params.document
    if kind in FORMATS_WITH_FIELDS:
        reading["text_field"] = params.text_field
    if kind != "parquet":
        reading["encoding"] = params.encoding
    facts = {"path": path, "bytes": size, "sha256": sha256, "format": kind, "split": None}
    return facts | reading


def _check_encoding(name: str) -> None:
    if is_text_encoding(name):
        return
    known = {alias.replace("_", "-") for alias in encodings.aliases.aliases.values()}
    close = difflib.get_close_matches(name.lower(), filter(is_text_encoding, sorted(known)), n=1)
    raise PipelineError(
        f"download.encoding: found {name!r}; expected an encoding that Python knows, such as "
        "utf-8, utf-16, latin-1, cp1252, gb18030 or big5"
        + (f"; did you mean {close[0]}?" if close else "")
    )


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
        raise PipelineError(f"download.corpus: {source} is an empty folder; put {READABLE} there")
    if not usable:
        raise PipelineError(
            f"download.corpus: {source} holds no file that can be read, but {len(ignored)} others "
            f"({_some(ignored)}); expected {READABLE}"
        )
    for path, _ in usable:
        with readable(path):
            _check_file(path)
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
    return not name.endswith("/") and (format_of(name) is not None or is_archive(name))


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


def copy(
    source: Path, target: Path, first_byte: int = 0, most: int = sys.maxsize
) -> tuple[int, str]:
    """Copy `most` bytes of a file from `first_byte` on, or all there are; (bytes, sha256).

    In chunks. A source that cannot be read is told apart from a target.
    """
    digest = hashlib.sha256()
    size = 0
    with replacing(target) as scratch, scratch.open("wb") as file:
        for chunk in _chunks(source, first_byte, most):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def _chunks(source: Path, first_byte: int, most: int) -> Iterator[bytes]:
    with readable(source), source.open("rb") as file:
        file.seek(first_byte)
        while chunk := file.read(min(COPY_BYTES, most)):
            most -= len(chunk)
            yield chunk


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
    (found,) = sources
    return (
        f"{found['ignored']} files of unknown kinds or linked folders, {found['empty']} empty files"
    )
