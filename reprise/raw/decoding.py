"""Bytes of a shard to text, and what was found on the way."""

import codecs
from dataclasses import dataclass


@dataclass
class Reading:
    """What was found in a shard beside its documents; `first_invalid` is a byte or a row."""

    bytes: int = 0
    skipped_bytes: int = 0  # of documents that are too long: not looked at
    invalid_bytes: int = 0
    first_invalid: int | None = None
    byte_order_marks: int = 0
    line_ends: int = 0


def decoded(
    content: bytes,
    offset: int,
    reading: Reading,
    in_table: bool = False,
    encoding: str = "utf-8",
) -> str:
    """Bytes to text; each run of bytes that is none becomes U+FFFD and is counted.

    `offset` is the place of the content in its file: bytes before it, or in a table its row.
    """
    reading.bytes += len(content)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        if reading.first_invalid is None:
            reading.first_invalid = offset if in_table else offset + error.start

    def replace_and_count(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeDecodeError)
        reading.invalid_bytes += error.end - error.start
        return "\ufffd", error.end

    codecs.register_error("reprise.replace_and_count", replace_and_count)
    return content.decode(encoding, "reprise.replace_and_count")


def unified_line_ends(text: str) -> tuple[str, int]:
    """CRLF and CR become LF; how many did."""
    found = text.count("\r")
    return (text.replace("\r\n", "\n").replace("\r", "\n"), found) if found else (text, 0)
