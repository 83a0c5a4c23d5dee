"""Learn a vocabulary from the train split, and from nothing else.

in   data/clean/train.parquet         what the vocabulary is learned from
     data/clean/valid.parquet         what it is judged on
out  data/tokenize/tokenizer.model    SentencePiece
     data/tokenize/tokenizer.vocab    the pieces and their scores, for reading
     metrics/tokenize.json            bytes a token, tokens a word, unknown pieces, on valid
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
    """Learn a vocabulary from the train split, and from nothing else."""
    from reprise.files import replacing, write_json, write_text
    from reprise.params.loading import load_section
    from reprise.params.tokenize import TokenizeParams
    from reprise.tokenizer import Tokenizer, train_tokenizer
    from reprise.vocabulary import quality, sampled_texts

    report = StageReport("tokenize")
    params = load_section(params_path, TokenizeParams)
    model = train_tokenizer(sampled_texts(train, params.sample_bytes, params.seed), params)
    with replacing(out / "tokenizer.model") as scratch:
        scratch.write_bytes(model)
    tokenizer = Tokenizer(model)
    write_text(out / "tokenizer.vocab", tokenizer.vocabulary_lines())
    figures = quality(tokenizer, valid)
    write_json(metrics, figures)
    report.close(
        read=f"at most {params.sample_bytes / 1e6:.1f} MB of {train}",
        wrote=f"{tokenizer.size:,} pieces, {figures['bytes_per_token_on_valid']:.2f} bytes a token",
    )


if __name__ == "__main__":
    main()
