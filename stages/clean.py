"""Turn raw files into clean documents in three splits.

in   data/download/manifest.json, and the files it names
out  data/clean/<split>.parquet    one row a document: name, text
     data/clean/dropped.parquet    some dropped documents of each reason: name, reason, text
     metrics/clean.json            documents and bytes in and kept, dropped by reason, what was
                                   changed, what valid and test have in common with train
"""

from pathlib import Path

from reprise.cli import StageReport, command, params_option, path_option


@command
@params_option
@path_option("--manifest", "data/download/manifest.json", "The raw files.")
@path_option("--out", "data/clean", "Folder for the splits and the dropped samples.")
@path_option("--metrics", "metrics/clean.json", "Counts.")
def main(params_path: Path, manifest: Path, out: Path, metrics: Path) -> None:
    """Turn raw files into clean documents in three splits."""
    from reprise.files import write_json
    from reprise.parallel import workers_of
    from reprise.params.clean import CleanParams
    from reprise.params.loading import load_section
    from reprise.params.run import RunParams
    from reprise.raw import read_manifest
    from reprise.sifting import sift

    report = StageReport("clean")
    params = load_section(params_path, CleanParams)
    workers = workers_of(load_section(params_path, RunParams))
    summary = sift(read_manifest(manifest), params, out, workers).summary()
    write_json(metrics, summary)
    documents, sizes, dropped = summary["documents"], summary["bytes"], summary["dropped"]
    report.close(
        read=f"{documents['in']:,} documents, {sizes['in'] / 1e6:.1f} MB",
        wrote=f"{documents['kept']:,} documents, {sizes['kept'] / 1e6:.1f} MB",
        dropped=", ".join(f"{n:,} {reason}" for reason, n in dropped.items() if n) or "nothing",
    )


if __name__ == "__main__":
    main()
