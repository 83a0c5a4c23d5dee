"""HTML that was left in text: scripts, comments, tags and entities."""

import html
import re

from reprise.rules.base import Drop, Tally

REASONS = ("only_markup",)
CHANGES = ("html_scripts", "html_comments", "html_tags", "html_entities")

_BLOCKS = (
    "address article aside blockquote body br caption center dd details dialog dir div dl dt "
    "fieldset figcaption figure footer form frameset h1 h2 h3 h4 h5 h6 head header hr html legend "
    "li link main menu meta nav noframes noscript ol optgroup option p pre script section select "
    "style summary table tbody td textarea tfoot th thead title tr ul"
)
_INLINE = (
    "a abbr acronym applet area audio b base basefont bdi bdo big button canvas cite code col "
    "colgroup data datalist del dfn em embed font frame i iframe img input ins kbd label map mark "
    "marquee meter nobr object output param picture progress q rb rp rt ruby s samp slot small "
    "source span strike strong sub sup svg template time track tt u var video wbr"
)
# An attribute without "=" is one only if its name is known: "<b and c>" is no tag. Groups with
# alternatives are not repeated possessively: Python before 3.11.5 matches them wrongly (gh-106052).
_ATTRIBUTES = (
    r"""(?:\s++(?:[\w:@.-]++\s*+=\s*+(?:"[^"]{0,4000}+"|'[^']{0,4000}+'|[^\s"'<>]++)"""
    r"|(?:async|autoplay|checked|controls|defer|disabled|hidden|loop|multiple|muted|nowrap|readonly"
    r"|required|selected)\b))*"
)


def _tag(names: str) -> str:
    return rf"</?(?:{names.replace(' ', '|')}){_ATTRIBUTES}\s*+/?>"


_BLOCK_TAG = re.compile(rf"(?:{_tag(_BLOCKS)}|<!doctype\s[^<>]*+>)", re.IGNORECASE)
_BLOCK_TAGS = re.compile(rf"(?:{_BLOCK_TAG.pattern}\s*+)+", re.IGNORECASE)
_INLINE_TAG = re.compile(_tag(_INLINE), re.IGNORECASE)
_ENTITY = re.compile(r"&(?:[A-Za-z][A-Za-z0-9]{1,31}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});")
_SPANS = (
    ("html_scripts", r"<script(?:\s[^<>]*+)?>", r"</script\s*+>"),
    ("html_scripts", r"<style(?:\s[^<>]*+)?>", r"</style\s*+>"),
    ("html_comments", r"<!--", r"-->"),
)


def without_markup(text: str, tally: Tally) -> str | Drop:
    """Tags of HTML's own names are taken out; those of blocks side by side become a line end."""
    if "<" not in text and "&" not in text:
        return text
    mended = text
    if "<" in mended:
        for change, opening, closing in _SPANS:
            mended, found = _without_spans(mended, opening, closing)
            tally[change] += found
        mended = _BLOCK_TAGS.sub(lambda match: _line_end(match[0], tally), mended)
        mended, found = _INLINE_TAG.subn("", mended)
        tally["html_tags"] += found
    mended = _ENTITY.sub(lambda match: _character(match[0], tally), mended)
    return Drop("only_markup") if not mended.strip() and text.strip() else mended


def _without_spans(text: str, opening: str, closing: str) -> tuple[str, int]:
    """The text without all from an opening to its closing; what is never closed stays."""
    begin, finish = re.compile(opening, re.IGNORECASE), re.compile(closing, re.IGNORECASE)
    kept, position, found = [], 0, 0
    while (start := begin.search(text, position)) and (end := finish.search(text, start.end())):
        kept.append(text[position : start.start()])
        position = end.end()
        found += 1
    return "".join([*kept, text[position:]]), found


def _line_end(tags: str, tally: Tally) -> str:
    tally["html_tags"] += len(_BLOCK_TAG.findall(tags))
    return "\n"


def _character(entity: str, tally: Tally) -> str:
    character = html.unescape(entity)
    if character != entity:
        tally["html_entities"] += 1
    return character.replace("\r", "\n")
