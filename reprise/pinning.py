"""Pin published files in the catalogue: measure them, and append an entry to its text."""

import io
import logging
import os.path
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from reprise.catalog import FORMATS_WITH_FIELDS, Split, checked_entry, read_catalog
from reprise.checkout import main_checkout
from reprise.download import from_the_project
from reprise.errors import PipelineError
from reprise.fetching import HTTP, address_below, measure
from reprise.files import write_text
from reprise.formats import format_of, is_archive

log = logging.getLogger(__name__)

UNMEASURED = {"bytes": 0, "sha256": "0" * 64}


def default_name(url: str) -> str:
    """The file's name without its endings: https://host/a/emma.txt.gz -> emma"""
    return unquote(url.rstrip("/").rpartition("/")[2]).partition(".")[0]


def pin(
    catalog: Path,
    name: str,
    urls: Sequence[str],
    splits: Iterable[str],
    described: Mapping[str, str | None],
) -> dict[str, Any]:
    """Measure the files, and append their entry to the catalogue; all faults are told before.

    `described` is the rest of the entry: title and so on, and how the files are read.
    """
    if catalog.exists() and name in read_catalog(catalog):
        raise PipelineError(
            f"{catalog}: {name}: is there already; give another --name, or take that entry out"
        )
    source, files = _below_one_source(urls, _splits(splits, urls))
    entry: dict[str, Any] = {
        "kind": "files",
        **_needed(described, [file["path"] for file in files]),
    }
    if source:
        entry["sources"] = [source]
    draft = {**entry, "files": [{**file, **UNMEASURED} for file in files]}
    checked_entry(f"{catalog}: {name}", draft)
    _with_entry(catalog, name, draft)
    for file in files:
        folder = source or file["sources"][0]
        size, sha256 = measure(address_below(from_the_project(folder), file["path"]))
        file |= {"bytes": size, "sha256": sha256}
        log.info("catalog: %s: %s bytes, sha256 %s", file["path"], f"{size:,}", sha256)
    entry["files"] = files
    write_text(catalog, _with_entry(catalog, name, entry))
    return entry


def _splits(pairs: Iterable[str], urls: Sequence[str]) -> dict[str, str]:
    splits = {}
    for pair in pairs:
        split, _, url = pair.partition("=")
        if split not in get_args(Split) or url not in urls:
            raise PipelineError(
                f"--split: found {pair!r}; expected train=, valid= or test= and one of the "
                "addresses given"
            )
        splits[url] = split
    return splits


def _below_one_source(
    urls: Sequence[str], splits: Mapping[str, str]
) -> tuple[str | None, list[dict[str, Any]]]:
    """(the folder that holds all, files by their paths below it); or each with its own folder."""
    places = [_place(url) for url in urls]
    levels = zip(*(folder.split("/") for folder, _ in places), strict=False)
    shared = [level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels)]
    source = "/".join(shared)
    if len(shared) < 3 and "://" in source + places[0][0]:  # https, nothing, host
        source = ""
    files = []
    for url, (folder, name) in zip(urls, places, strict=True):
        path = f"{folder}/{name}".removeprefix(f"{source}/") if source else name
        file: dict[str, Any] = {"path": unquote(path) if url.startswith(HTTP) else path}
        if not source:
            file["sources"] = [folder]
        if url in splits:
            file["split"] = splits[url]
        files.append(file)
    return source or None, files


def _place(url: str) -> tuple[str, str]:
    """(folder, name); a relative path is told from the project's folder."""
    if url.startswith(HTTP) and ("?" in url or "#" in url):
        raise PipelineError(
            f"{url}: an address with a query or a fragment names no file; give one without"
        )
    if "://" not in url:
        path = Path(url).expanduser()
        if not path.is_absolute():
            path = Path(os.path.relpath(path, main_checkout()))
        url = path.as_posix()
    folder, _, name = url.rpartition("/")
    return folder or ("/" if url.startswith("/") else "."), name


def _needed(described: Mapping[str, str | None], paths: Sequence[str]) -> dict[str, str]:
    """Without what is not said, and without settings for formats that are not there."""
    formats = {described["format"] or format_of(path) for path in paths}
    any_archive = any(is_archive(path) for path in paths)
    needed = {key: value for key, value in described.items() if value is not None}
    if not any_archive and "text" not in formats:
        needed.pop("document", None)
    if not any_archive and formats.isdisjoint(FORMATS_WITH_FIELDS):
        needed.pop("text_field", None)
    return needed


def _with_entry(catalog: Path, name: str, entry: Mapping[str, Any]) -> str:
    """The catalogue's text with the entry's lines below; no other line is touched."""
    files = [CommentedMap(file) for file in entry["files"]]
    for file in files:
        file.fa.set_flow_style()
    yaml = YAML()
    yaml.width = 1 << 20
    yaml.indent(mapping=2, sequence=4, offset=2)
    lines = io.StringIO()
    yaml.dump({name: {**entry, "files": files}}, lines)
    before = catalog.read_text(encoding="utf-8").rstrip() if catalog.exists() else ""
    together = f"{before}\n\n{lines.getvalue()}" if before else lines.getvalue()
    try:
        YAML(typ="safe", pure=True).load(together)
    except YAMLError:
        raise PipelineError(
            f"{catalog}: cannot be added to; write it as `name:` and lines indented below"
        ) from None
    return together
