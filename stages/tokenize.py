"""Learn a vocabulary from the train split, and from nothing else; or take an existing one.

in   data/clean/train.parquet         what the vocabulary is learned from
     data/clean/valid.parquet         what it is judged on
     tokenize.model_file              where a SentencePiece model is taken instead
out  data/tokenize/tokenizer.model    SentencePiece
     data/tokenize/tokenizer.vocab    the pieces and their scores, for reading
     data/tokenize/report.md          what it is like, for reading
     metrics/tokenize.json            bytes a token, tokens a word, unknown and unused pieces
"""

from pathlib import Path

from reprise.cli import StageReport, command, params_option, path_option


@command
@params_option
@path_option("--train", "data/clean/train.parquet", "Documents to learn from.")
@path_option("--valid", "data/clean/valid.parquet", "Documents to judge the vocabulary on.")
@path_option("--out", "data/tokenize", "Folder for the vocabulary.")
@path_option("--metrics", "metrics/tokenize.json", "Figures.")
def main(params_path: Path, train: Path, valid: Path, out: Path, metrics: Path) -> None:
    """Learn a vocabulary from the train split, and from nothing else; or take an existing one."""
    from reprise.corpus import read_columns
    from reprise.files import replacing, write_json, write_text
    from reprise.memory import give_back_large_blocks
    from reprise.params.loading import load_section
    from reprise.params.tokenize import TokenizeParams
    from reprise.taken_model import taken_model
    from reprise.tokenizer import Tokenizer
    from reprise.tokenizer_training import TRAINING_THREADS, train_tokenizer
    from reprise.vocabulary import draw_sample, texts_of
    from reprise.vocabulary_report import figures, on_sample, on_valid, report

    stage = StageReport("tokenize")
    params = load_section(params_path, TokenizeParams)
    if params.model_file is not None:
        model = taken_model(Path(params.model_file), params.model_sha256)
    give_back_large_blocks()
    sample = draw_sample(train, params.sample_bytes, params.seed)
    if params.model_file is None:
        model = train_tokenizer(texts_of(sample), params)
    tokenizer = Tokenizer(model, threads=TRAINING_THREADS)
    of_sample = on_sample(tokenizer, sample)
    of_valid = on_valid(tokenizer, read_columns(valid))
    with replacing(out / "tokenizer.model") as scratch:
        scratch.write_bytes(model)
    write_text(out / "tokenizer.vocab", tokenizer.vocabulary_lines())
    write_text(out / "report.md", report(tokenizer, of_valid, of_sample))
    found = figures(tokenizer, of_valid, of_sample)
    write_json(metrics, found)
    stage.close(
        read=f"{of_sample.bytes / 1e6:.1f} MB of {train}",
        wrote=f"{tokenizer.size:,} pieces, {found['bytes_per_token_on_valid']:.2f} bytes a token",
    )


if __name__ == "__main__":
    main()
