"""Pieces of Markdown that no text in them can break."""

import re
from collections.abc import Iterable, Sequence

# Control characters, and those that turn the direction of lines or end them.
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; columns of numbers stand to the right."""
    body = [[_cell(cell) for cell in row] for row in rows]
    right = [
        bool(body)
        and all(re.fullmatch(r"-?[\d,.< ]*%?( ?\(.*)?", row[i]) for row in body if i < len(row))
        for i in range(len(names))
    ]
    lines = [names, ["---:" if numbers else "---" for numbers in right], *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\|", text.replace("\n", " "))


def plain(text: str) -> str:
    """Text in which nothing is markup."""
    visible = _visible(" ".join(text.split()))
    escaped = re.sub(r"([\\`*_\[\]|~#])", r"\\\1", visible)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(text: str) -> str:
    """Inline code that no backtick in it can end."""
    visible = _visible(text.replace("\n", "\\n").replace("\t", "\\t"))
    longest = max(map(len, re.findall("`+", visible)), default=0)
    fence = "`" * (longest + 1)
    blank = " " if longest or visible != visible.strip() else ""
    return f"{fence}{blank}{visible}{blank}{fence}"


def fenced(text: str) -> str:
    """A block that nothing in the text can end."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{_visible(text)}\n{fence}"


def _visible(text: str) -> str:
    """Control characters, and those that turn the direction of lines, by their numbers."""
    return UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
