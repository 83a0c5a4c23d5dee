"""Score the model on valid and test beside its baselines, and let it write.

in   data/train/model.safetensors, model.json       the network and its settings
     data/encode/{train,valid,test}.npy, .parquet   ids and documents; train is for the baselines
     data/encode/vocabulary.json                    number of pieces, and the boundary's id
     metrics/train.csv                              for a run in MLflow that lacks its curves
     data/tokenize/tokenizer.model                  for the samples' text
out  data/evaluate/documents.parquet                nats of each document, model's and baselines',
                                                    and, if wanted, dynamic and cached
     data/evaluate/quantiles.csv                    test's documents by their bits a byte
     data/evaluate/samples.txt                      what the model makes of the prompts
     metrics/evaluate.json                          figures of valid and test, and who wins
"""

from pathlib import Path

from reprise.cli import StageReport, command, params_option, path_option


@command
@params_option
@path_option("--model", "data/train", "Folder of the weights and their settings.")
@path_option("--encoded", "data/encode", "Folder of the encoded splits.")
@path_option("--tokenizer", "data/tokenize/tokenizer.model", "The SentencePiece model.")
@path_option("--out", "data/evaluate", "Folder for samples and the table by document.")
@path_option("--metrics", "metrics/evaluate.json", "Where the figures go.")
@path_option("--log", "metrics/train.csv", "The losses by step that train wrote.")
def main(
    params_path: Path,
    model: Path,
    encoded: Path,
    tokenizer: Path,
    out: Path,
    metrics: Path,
    log: Path,
) -> None:
    """Score the model on valid and test beside its baselines, and let it write."""
    from reprise.baselines import Baseline, KneserNey
    from reprise.contest import (
        check_vocabulary,
        evaluate_split,
        variants_of,
        write_documents,
        write_quantiles,
    )
    from reprise.dataset import EncodedSplit, vocabulary_in
    from reprise.evaluation import Scoring
    from reprise.files import write_json, write_text
    from reprise.machine import scoring_device
    from reprise.model_files import load_model
    from reprise.params.evaluate import EvaluateParams
    from reprise.params.loading import load_section
    from reprise.params.model import ModelParams
    from reprise.sampling import Sampling, samples_text
    from reprise.tokenizer import Tokenizer
    from reprise.tracking.finished_run import publish_evaluation
    from reprise.training_log import read_rows
    from reprise.unigram import Unigram

    report = StageReport("evaluate")
    params = load_section(params_path, EvaluateParams)
    read_rows(log)  # for the run in MLflow; what is wrong is told before the work
    vocabulary = Tokenizer.load(tokenizer)
    network, settings = load_model(model / "model.safetensors", model / "model.json")
    vocabulary_size = vocabulary_in(encoded)["vocabulary_size"]
    train = EncodedSplit.open_in(encoded, "train")
    check_vocabulary(train, vocabulary_size, settings)
    for name in ("train", "valid", "test"):
        EncodedSplit.open_in(encoded, name).check_ids(name, vocabulary_size)
    learned = settings["settings"]
    window, stride = params.window_and_stride(learned["train"]["sequence_length"])
    ModelParams.model_validate(learned["model"]).check_window("evaluate.window", window)
    device = scoring_device(settings["machine"]["device"], settings["machine"]["threads"])
    network.to(device)

    baselines: dict[str, Baseline] = {
        "unigram": Unigram.count(train, vocabulary_size),
        "kneser_ney": KneserNey.count(
            train, vocabulary_size, order=params.baseline_order, max_tokens=params.baseline_tokens
        ),
    }
    scoring = Scoring(params.context, window, stride, params.batch_tokens)
    variants = variants_of(params, network, train, scoring, device)
    results = [
        evaluate_split(
            name, encoded, network, baselines, scoring, params.word_ends, device, variants
        )
        for name in ("valid", "test")
    ]
    write_documents(out / "documents.parquet", encoded, results)
    write_quantiles(out / "quantiles.csv", encoded, results[-1])
    sampling = Sampling(
        max_tokens=params.sample_tokens,
        temperature=params.temperature,
        top_k=params.top_k,
        top_p=params.top_p,
        window=window,
        seed=params.seed,
    )
    samples = samples_text(network, vocabulary, train.boundary, params.prompts, sampling, device)
    write_text(out / "samples.txt", samples)
    figures = {result.split: result.figures for result in results}
    write_json(metrics, {**figures, "device": device.type})
    publish_evaluation(params_path, model, tokenizer, log, metrics, out)
    valid, test = figures["valid"], figures["test"]
    report.close(
        read=f"{valid['tokens'] + test['tokens']:,} tokens of valid and test",
        wrote=f"{len(params.prompts)} samples; test {test['bits_per_byte']:.4f} bits/byte, "
        f"perplexity a token {test.get('perplexity_per_token', float('inf')):.2f}",
    )


if __name__ == "__main__":
    main()
