"""Headings, tables and paragraphs that a terminal and Markdown can both show."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from reprise.markdown import plain, table


@dataclass(frozen=True)
class Heading:
    text: str


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Table:
    names: Sequence[str]
    rows: Sequence[Sequence[str]]


Block = Heading | Paragraph | Table


def as_text(blocks: Sequence[Block]) -> str:
    return "\n".join(_block_as_text(block) for block in blocks)


def as_markdown(blocks: Sequence[Block]) -> str:
    return "\n\n".join(_block_as_markdown(block) for block in blocks) + "\n"


def _block_as_text(block: Block) -> str:
    if isinstance(block, Heading):
        return f"\n{block.text}"
    if isinstance(block, Paragraph):
        return block.text
    rows = [block.names, *block.rows]
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    return "\n".join(
        "  "
        + "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _block_as_markdown(block: Block) -> str:
    if isinstance(block, Heading):
        return f"### {plain(block.text)}"
    if isinstance(block, Paragraph):
        return plain(block.text)
    rows = [[plain(cell) for cell in row] for row in block.rows]
    return table([plain(name) for name in block.names], rows)
