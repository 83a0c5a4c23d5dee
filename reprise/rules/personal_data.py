"""Masks personal data: <card>, <mail>, <ip>, <phone>.

What cannot be told from other numbers stays: a phone number of digits alone or of groups of digits
between blanks, without +, a leading 0, or a word such as "phone" before it. What cannot be told
from a card number or an IP address is masked: one in ten numbers of 13 to 19 digits has a card's
check digit, and a section 1.2.3.4 looks like an address.
"""

import ipaddress
import re
from collections.abc import Callable

from reprise.params.clean import PersonalData
from reprise.rules.base import Tally
from reprise.rules.cards import card_numbers
from reprise.rules.signs import BLANK, DASH, DOT, PARENTHESES

CHANGES = ("masked_cards", "masked_mails", "masked_ip_addresses", "masked_phones")

# All cards, phones and IP addresses of version 4 hold this, and few lines of prose do.
_NO_DIGITS = bytes(set(range(256)) - set(b"0123456789"))
_NUMBER = re.compile(rf"\d[\d\n{BLANK}{DASH}{DOT}{PARENTHESES}/]{{5,40}}(?<=\d)")


def masked(params: PersonalData, text: str, tally: Tally) -> str:
    """The text with masks; cards come first, for their digits may look like a phone's."""
    numbers = _has_number(text)
    if params.cards and numbers:
        text = _mask_cards(text, tally)
    if params.mails and "@" in text:
        text = _mask(_MAIL, "<mail>", "masked_mails", _is_mail, text, tally)
    if params.ip_addresses and ("::" in text or text.count(":") >= 7):
        text = _mask(_IP_6, "<ip>", "masked_ip_addresses", _is_ip_6, text, tally)
    if params.ip_addresses and numbers:
        text = _mask(_IP_4, "<ip>", "masked_ip_addresses", _is_ip_4, text, tally)
    if params.phones and numbers:
        for pattern in _PHONES:
            text = _mask(pattern, "<phone>", "masked_phones", _is_phone, text, tally)
    return text


def _has_number(text: str) -> bool:
    """Whether there may be a card, a phone or an IP address; 10 times faster for most of prose."""
    if text.isascii() and len(text.encode("ascii").translate(None, _NO_DIGITS)) < 4:
        return False
    return _NUMBER.search(text) is not None


def _mask_cards(text: str, tally: Tally) -> str:
    """A number over several lines leaves its line ends."""
    kept, position = [], 0
    for start, end in card_numbers(text):
        kept += [text[position:start], "<card>", "\n" * text.count("\n", start, end)]
        position = end
        tally["masked_cards"] += 1
    return "".join([*kept, text[position:]])


def _mask(
    pattern: re.Pattern[str],
    mask: str,
    change: str,
    holds: Callable[[str], bool],
    text: str,
    tally: Tally,
) -> str:
    """The group `it`, with which each match ends, becomes the mask where it is what it seems."""

    def replacement(match: re.Match[str]) -> str:
        if not holds(match["it"]):
            return match[0]
        tally[change] += 1
        return match[0].removesuffix(match["it"]) + mask

    return pattern.sub(replacement, text)


_LETTER = r"A-Za-z0-9\u00c0-\u024f"
_MAIL = re.compile(
    rf"(?<![{_LETTER}._%+'-])(?P<it>[{_LETTER}_%+][{_LETTER}._%+'-]{{0,63}}"
    rf"@(?:[{_LETTER}][{_LETTER}-]{{0,62}}\.){{1,8}}[A-Za-z]{{2,24}})(?![{_LETTER}(_])"
)


def _is_mail(mail: str) -> bool:
    return ".." not in mail


_IP_4 = re.compile(
    r"(?<![\d.])(?<!\b[vV])(?<!\b[vV]ersion )(?<!\b[sS]ection )"
    r"(?P<it>\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})(?!\d|\.\d)"
)
_IP_6 = re.compile(
    r"(?<![\w:.])(?P<it>(?=[0-9A-Fa-f]{0,4}:)[0-9A-Fa-f:]{2,39}(?:(?<=:)\d{1,3}(?:\.\d{1,3}){3})?)"
    r"(?![\w:]|\.\d)"
)


def _is_ip_4(address: str) -> bool:
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        return False
    return True


def _is_ip_6(address: str) -> bool:
    """No time, no slice such as 1::2, no name such as abc::def, and not ::1."""
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return False
    groups = [group for group in address.split(":") if group]
    has_digit = any(map(str.isdigit, address))
    return has_digit and (len(groups) >= 3 or len(groups[0]) == 4 or "." in address)


_GAP = rf"{BLANK}{DASH}{DOT}/"
_GAPS = rf"[{_GAP}{PARENTHESES}]{{0,3}}"
_START = rf"(?<![\dA-Za-z])(?<!\d[{_GAP}])"
_END = rf"(?![{_GAP}]?\d)"
_PHONE_WORD = (
    r"(?i:\b(?:tel|telephone|telefon|t[ée]l|t[ée]l[ée]phone|phone|mobile|cell|fax|whatsapp)\b"
    r"|电话|手机|電話|手機)"
)
_DATE = r"\d{1,2}[-./]\d{1,2}[-./]\d{2,4}(?!\d|[-./]\d)"
_ZIP_CODE = r"\d{5}-\d{4}(?!\d)"
_PHONES = (
    re.compile(  # +44 20 7946 0958, +1 (555) 010-9999, 0049 30 123456
        rf"(?<![\w+])(?P<it>(?:[+\uff0b]|(?<![./-])00(?=[1-9]\d{{0,2}}[{_GAP}]))"
        rf"(?:1(?:{_GAPS}\d){{10}}|[2-9](?:{_GAPS}\d){{7,14}}))(?!\d)"
    ),
    re.compile(  # Tel.: 5550123
        rf"{_PHONE_WORD}(?:[.:\uff1a\s]|is\b|number\b|no\b|号码|號碼|是){{0,5}}"
        rf"(?P<it>(?!(?:19|20)\d\d[-./])[(\uff08]?\d(?:{_GAPS}\d){{6,14}})(?!\d)"
    ),
    re.compile(  # (555) 010-9999, 1-555-010-9999, 555.010.9999
        rf"{_START}(?P<it>(?:1[{DASH}{DOT} ])?"
        rf"(?:\(\d{{3}}\)[{BLANK}]?\d{{3}}[{_GAP}]|\d{{3}}(?P<gap>[{DASH}.])\d{{3}}(?P=gap))"
        rf"\d{{4}})(?![{DASH}{DOT}]?\d)"
    ),
    re.compile(  # 138-0000-1234
        rf"{_START}(?P<it>1[3-9]\d[{DASH}]\d{{4}}[{DASH}]\d{{4}})(?![{DASH}{DOT}]?\d)"
    ),
    re.compile(  # 01 23 45 67 89, (030) 123456, 0171/1234567
        rf"{_START}(?!{_DATE}|{_ZIP_CODE})(?P<it>(?:\(0[1-9]\d{{0,4}}\)[{_GAP}]?|0[1-9]\d{{0,4}}[{_GAP}]{{1,2}})"
        rf"\d{{2,8}}(?:[{_GAP}]\d{{2,8}}){{0,3}}){_END}"
    ),
)


def _is_phone(phone: str) -> bool:
    """No decimal number such as +12.345678; and 9 to 12 digits where the first is a 0."""
    digits = "".join(filter(str.isdigit, phone))
    if digits.startswith("0") and not digits.startswith("00") and not 9 <= len(digits) <= 12:
        return False
    return [sign for sign in phone[1:] if not sign.isdigit()] != ["."]
