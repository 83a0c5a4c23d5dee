"""Encode the clean documents as token ids.

in   data/clean/<split>.parquet      one row a document: name, text
     data/tokenize/tokenizer.model   SentencePiece
out  data/encode/<split>.npy         uint16 or uint32 ids, documents end to end, an end after each
     data/encode/<split>.parquet     one row a document: name, tokens, bytes, words, lines
     data/encode/vocabulary.json     vocabulary_size, and boundary: the id after each document
     metrics/encode.json             documents, tokens, bytes, words and lines of each split
"""

from pathlib import Path

from reprise.cli import StageReport, command, params_option, path_option


@command
@params_option
@path_option("--documents", "data/clean", "Folder of the clean splits.")
@path_option("--model", "data/tokenize/tokenizer.model", "The vocabulary.")
@path_option("--out", "data/encode", "Folder for the ids.")
@path_option("--metrics", "metrics/encode.json", "Counts.")
def main(params_path: Path, documents: Path, model: Path, out: Path, metrics: Path) -> None:
    """Encode the clean documents as token ids."""
    from reprise.corpus import SPLITS
    from reprise.encoding import encode_splits
    from reprise.files import write_json
    from reprise.parallel import workers_of
    from reprise.params.encode import EncodeParams
    from reprise.params.loading import load_section
    from reprise.params.run import RunParams
    from reprise.tokenizer import Tokenizer

    report = StageReport("encode")
    params = load_section(params_path, EncodeParams)
    workers = workers_of(load_section(params_path, RunParams))
    paths = {split: documents / f"{split}.parquet" for split in SPLITS}
    totals = encode_splits(paths, model, out, params, workers)
    tokenizer = Tokenizer.load(model)
    vocabulary = {"vocabulary_size": tokenizer.size, "boundary": tokenizer.document_end_id}
    write_json(out / "vocabulary.json", vocabulary)
    write_json(metrics, totals)
    counts = {name: sum(split[name] for split in totals.values()) for name in totals["train"]}
    report.close(
        read=f"{counts['documents']:,} documents, {counts['bytes'] / 1e6:.1f} MB",
        wrote=f"{counts['tokens']:,} tokens",
    )


if __name__ == "__main__":
    main()
