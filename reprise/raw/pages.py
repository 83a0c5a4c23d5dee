"""HTML to the text of its main content."""

import re

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import map_encoding_to_html5

from reprise.raw.decoding import Reading, decoded

HEAD_BYTES = 1024  # where HTML wants its encoding declared
_CHARSET = re.compile(rb"""<meta[^>]+?charset\s*=\s*["']?\s*([a-zA-Z0-9_.:-]+)""", re.IGNORECASE)


def encoding_of_page(content: bytes) -> str:
    """UTF-8 if that is what the bytes are; otherwise what the page says."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        if declared := _CHARSET.search(content[:HEAD_BYTES]):
            return map_encoding_to_html5(declared[1].decode("ascii")) or "utf-8"
    return "utf-8"


def text_of_page(content: bytes, offset: int, reading: Reading) -> str:
    page = decoded(content, offset, reading, encoding=encoding_of_page(content))
    return extract_plain_text(page, main_content=True)
