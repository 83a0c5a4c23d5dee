"""Bring the raw corpus here: published files, docstrings of installed packages, or one's own files.

in   data/catalog.yaml            the corpora that can be named
     download.corpus              a name there, or a path
     REPRISE_MIRROR               a folder or an address that is asked before the published ones
out  data/download/               the files, as they were published; archives unpacked
     data/download/manifest.json  path, bytes, sha256, format and split of each; sources, licence
     metrics/download.json        files and bytes, and a hash over them all
"""

from pathlib import Path

from reprise.cli import StageReport, command, params_option, path_option


@command
@params_option
@path_option("--catalog", "data/catalog.yaml", "The corpora that can be named.")
@path_option("--out", "data/download", "Folder for the files and their manifest.")
@path_option("--metrics", "metrics/download.json", "Counts.")
def main(params_path: Path, catalog: Path, out: Path, metrics: Path) -> None:
    """Bring the raw corpus here: a published one, docstrings, or files of one's own."""
    from reprise.catalog import FilesEntry, find_entry, is_named
    from reprise.download import (
        digest_of,
        download_docstrings,
        download_files,
        download_own,
        readable,
        without_text,
    )
    from reprise.files import write_json
    from reprise.parallel import workers_of
    from reprise.params.download import DownloadParams
    from reprise.params.loading import load_section
    from reprise.params.run import RunParams

    report = StageReport("download")
    params = load_section(params_path, DownloadParams)
    workers = workers_of(load_section(params_path, RunParams))
    own = Path(params.corpus).expanduser()
    with readable(own):
        there = own.exists()
    if there and not is_named(catalog, params.corpus):
        manifest = download_own(own, params, out)
    elif isinstance(entry := find_entry(catalog, params.corpus), FilesEntry):
        manifest = download_files(params.corpus, entry, params, out)
    else:
        manifest = download_docstrings(params.corpus, entry, out, workers)
    files = manifest["files"]
    total = sum(file["bytes"] for file in files)
    write_json(
        metrics,
        {
            "corpus": manifest["corpus"],
            "files": len(files),
            "bytes": total,
            "sha256": digest_of(manifest),
        },
    )
    report.close(
        read=params.corpus,
        wrote=f"{len(files)} files, {total / 1e6:.1f} MB in {out}",
        dropped=without_text(manifest),
    )


if __name__ == "__main__":
    main()
