"""The committed settings of clean, with changes, and scratch folders filled from texts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ruamel.yaml import YAML

from reprise.params.clean import CleanParams
from reprise.raw import Shard, Source
from reprise.scratch import Scratch, scratch_in
from reprise.shard_cleaning import clean_shard

ROOT = Path(__file__).resolve().parent.parent


def clean_params(**changed: object) -> CleanParams:
    settings = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))["clean"]
    return CleanParams.model_validate(settings | changed)


@contextmanager
def cleaned(
    folder: Path, shards: Sequence[Sequence[str]], params: CleanParams
) -> Iterator[Scratch]:
    """The scratch folder after the first pass over shards of one-line documents."""
    with scratch_in(folder) as scratch:
        sizes = []
        for index, texts in enumerate(shards):
            source = Source(
                name=f"{index}.txt",
                path=folder / f"{index}.txt",
                format="text",
                document="line",
                text_field="text",
                split=None,
            )
            shard = Shard(source, content="\n".join(texts).encode(), last=True)
            sizes.append(len(clean_shard((index, shard), params, scratch).draws))
        scratch.save_starts(sizes)
        yield scratch
