"""Bring the raw corpus here: the docstrings of installed packages, or files of one's own.

in   data/catalog.yaml            the corpora that can be named
     download.corpus              a name there, or a path
out  data/download/               the files, as they were published
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
    """Bring the raw corpus here: docstrings of installed packages, or files of one's own."""
    from reprise.catalog import find_entry, is_named
    from reprise.download import (
        digest_of,
        download_docstrings,
        download_own,
        readable,
        without_text,
    )
    from reprise.files import write_json
    from reprise.parallel import worker_count
    from reprise.params.download import DownloadParams
    from reprise.params.loading import load_section
    from reprise.params.run import RunParams

    report = StageReport("download")
    params = load_section(params_path, DownloadParams)
    workers = worker_count(load_section(params_path, RunParams).workers)
    own = Path(params.corpus).expanduser()
    with readable(own):
        there = own.exists()
    if there and not is_named(catalog, params.corpus):
        manifest = download_own(own, params, out)
    else:
        entry = find_entry(catalog, params.corpus)
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
