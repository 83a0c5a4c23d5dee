"""The catalogue of corpora: look at it, and pin published files in it."""

from pathlib import Path

import click

from reprise.cli import command, path_option

catalog_option = path_option("--catalog", "data/catalog.yaml", "The corpora that can be named.")
NOT_STATED = "not stated"


@click.group()
def catalog() -> None:
    """Look at the corpora that can be named, or pin another one."""


@command
@catalog_option
def list_corpora(catalog: Path) -> None:
    """Name, title, licence, bytes and files of each corpus."""
    from reprise.catalog import FilesEntry, checked_entry, read_catalog

    rows = [("name", "title", "licence", "bytes", "files")]
    for name, content in read_catalog(catalog).items():
        entry = checked_entry(f"{catalog}: {name}", content)
        size, files = "-", "-"
        if isinstance(entry, FilesEntry):
            size = f"{sum(file.bytes for file in entry.files):,}"
            files = f"{len(entry.files):,}"
        rows.append((name, entry.title, entry.licence, size, files))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, title, licence, size, files in rows:
        left = f"{name:{widths[0]}}  {title:{widths[1]}}  {licence:{widths[2]}}"
        click.echo(f"{left}  {size:>{widths[3]}}  {files:>{widths[4]}}")


@command
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@catalog_option
@click.option("--name", help="What download.corpus calls it.  [default: as the first file]")
@click.option("--title", help="[default: the name]")
@click.option("--licence", help=f"[default: {NOT_STATED}]")
@click.option("--language", default=NOT_STATED, show_default=True)
@click.option("--homepage", default=NOT_STATED, show_default=True)
@click.option(
    "--split", "splits", multiple=True, metavar="SPLIT=URL", help="train, valid or test; repeat."
)
@click.option("--format", "kind", help="Of all files.  [default: by their endings]")
@click.option("--document", default="paragraph", show_default=True, help="Of text files.")
@click.option("--text-field", default="text", show_default=True, help="Of all other files.")
@click.option("--encoding", help="Of all files.  [default: utf-8]")
def add(
    urls: tuple[str, ...],
    catalog: Path,
    name: str | None,
    title: str | None,
    licence: str | None,
    language: str,
    homepage: str,
    splits: tuple[str, ...],
    kind: str | None,
    document: str,
    text_field: str,
    encoding: str | None,
) -> None:
    """Measure published files (bytes, sha256) and pin them as a new corpus in the catalogue.

    URL is any address that fsspec knows (https, s3, gs, hf and more) or a path.
    """
    import logging

    from reprise.pinning import default_name, pin

    name = name or default_name(urls[0])
    described = {
        "title": title or name,
        "language": language,
        "licence": licence or NOT_STATED,
        "homepage": homepage,
        "format": kind,
        "document": document,
        "text_field": text_field,
        "encoding": encoding,
    }
    entry = pin(catalog, name, urls, splits, described)
    if licence is None:
        logging.getLogger(__name__).warning(
            "catalog: %s: no --licence was given, so the entry says %r", name, NOT_STATED
        )
    total = sum(file["bytes"] for file in entry["files"])
    click.echo(f"{name}: {len(urls)} files, {total:,} bytes, pinned in {catalog}")


catalog.add_command(list_corpora, "list")
catalog.add_command(add, "add")
