"""Write down what the data is: a page to read before training on it.

in   data/download/manifest.json               where it comes from
     data/clean/train.parquet, dropped.parquet examples
     data/encode/{train,valid,test}.*          lengths, and uses of the pieces
     data/tokenize/tokenizer.vocab             the pieces
     metrics/{clean,tokenize,encode}.json      what the stages counted
out  metrics/data_card.md                      the page
     metrics/data_card/*.svg                   its pictures
"""

import os
from pathlib import Path

from reprise.cli import StageReport, command, params_option, path_option

EXAMPLES = 5


@command
@params_option
@path_option("--manifest", "data/download/manifest.json", "Where the corpus comes from.")
@path_option("--documents", "data/clean", "Folder of the clean splits.")
@path_option("--encoded", "data/encode", "Folder of the encoded splits.")
@path_option("--vocabulary", "data/tokenize/tokenizer.vocab", "The pieces.")
@path_option("--metrics", "metrics", "Folder of the stages' counts.")
@path_option("--out", "metrics/data_card.md", "The page.")
@path_option("--plots", "metrics/data_card", "Folder for its pictures.")
def main(
    params_path: Path,
    manifest: Path,
    documents: Path,
    encoded: Path,
    vocabulary: Path,
    metrics: Path,
    out: Path,
    plots: Path,
) -> None:
    """Write down what the data is: a page to read before training on it."""
    from reprise.data_card import data_card
    from reprise.data_facts import gather
    from reprise.data_plots import draw_frequencies, draw_lengths, draw_waterfall
    from reprise.files import write_text
    from reprise.params.loading import check_params

    report = StageReport("data_card")
    check_params(params_path)
    facts = gather(manifest, documents, encoded, vocabulary, metrics, EXAMPLES)
    draw_lengths(facts.lengths, plots / "lengths.svg")
    draw_waterfall(facts.clean, plots / "dropped.svg")
    draw_frequencies(facts.uses, plots / "pieces.svg")
    write_text(out, data_card(facts, Path(os.path.relpath(plots, out.parent)).as_posix()))
    report.close(read=f"{manifest}, {metrics}", wrote=str(out))


if __name__ == "__main__":
    main()
