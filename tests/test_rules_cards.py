"""Card numbers: every brand and grouping is masked, rows of numbers are not."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rule_settings import applied

from reprise.rules.cards import passes_luhn

# Numbers that card companies and payment services publish for tests.
TEST_NUMBERS = (
    "4222222222222",  # Visa, 13 digits
    "30569309025904",  # Diners Club
    "38520000023237",
    "378282246310005",  # American Express
    "371449635398431",
    "4111111111111111",  # Visa
    "4012888888881881",
    "5555555555554444",  # Mastercard
    "5105105105105100",
    "2223003122003222",
    "6011111111111117",  # Discover
    "6011000990139424",
    "3530111333300000",  # JCB
    "6200000000000005",  # UnionPay
    "6759649826438453",  # Maestro
    "6205500000000000004",  # UnionPay, 19 digits
)
GROUPS = {
    13: ((13,), (4, 4, 5), (4, 4, 4, 1)),
    14: ((14,), (4, 6, 4), (4, 4, 4, 2)),
    15: ((15,), (4, 6, 5), (4, 5, 6), (4, 4, 4, 3)),
    16: ((16,), (4, 4, 4, 4)),
    17: ((17,), (4, 4, 4, 4, 1)),
    18: ((18,), (4, 4, 4, 4, 2)),
    19: ((19,), (4, 4, 4, 4, 3), (6, 13)),
}
BETWEEN = (" ", "\u00a0", "\u2009", "\u202f", "\u3000", "\t", "-", "\u2011", "\u2013", "\u2014")
BETWEEN += ("\u2212", ".", "\u00b7", "\n", "\n    ", "-\n")
FULL_WIDTH = str.maketrans(
    "0123456789", "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19"
)


def grouped(number: str, sizes: tuple[int, ...], between: str) -> str:
    ends = [sum(sizes[: index + 1]) for index in range(len(sizes))]
    return between.join(number[end - size : end] for end, size in zip(ends, sizes, strict=True))


def masked(text: str) -> str:
    outcome, _ = applied(text, "personal_data")
    assert isinstance(outcome, str)
    return outcome


def test_the_check_digit_agrees_with_the_example_of_the_patent() -> None:
    assert passes_luhn("79927398713")  # US patent 2,950,048's scheme, the usual example
    assert not any(passes_luhn(f"7992739871{digit}") for digit in range(10) if digit != 3)


@pytest.mark.parametrize("number", TEST_NUMBERS)
def test_every_brand_is_masked_in_every_grouping(number: str) -> None:
    for sizes in GROUPS[len(number)]:
        for between in BETWEEN:
            for digits in (number, number.translate(FULL_WIDTH)):
                line_ends = "\n" * (len(sizes) - 1) if "\n" in between else ""
                text = f"card {grouped(digits, sizes, between)}, 12/27"
                assert masked(text) == f"card <card>{line_ends}, 12/27"
    for digit in "0123456789":
        if digit != number[-1]:
            assert masked(number[:-1] + digit) == number[:-1] + digit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4111 1111 1111 1111 12/27 123", "<card> 12/27 123"),
        ("in 1999 4111 1111 1111 1111 2027", "in 1999 <card> 2027"),
        ("4111111111111111,5555555555554444;", "<card>,<card>;"),
        ("4111 1111 1111 1111 5555 5555 5555 4444", "<card> <card>"),
        ("4111111111111111 5555555555554444", "<card> <card>"),
        ("9123 4567 8901 2348\n9123 4567 8901 2348\n", "<card>\n<card>\n"),  # no bank's
        ("4111 1111\n1111 1111\n12/27", "<card>\n\n12/27"),
        ("in 1999 3782 822463 10005", "in 1999 <card>"),
        ("x4111111111111111y", "x<card>y"),
        ("[4111111111111111]", "[<card>]"),
        ("(4111-1111-1111-1111)", "(<card>)"),
        ("卡号：4111111111111111。", "卡号：<card>。"),  # noqa: RUF001
        ("https://x.org/?c=4111111111111111&d", "https://x.org/?c=<card>&d"),
        ("No. 4111.1111.1111.1111.", "No. <card>."),
    ],
)
def test_a_card_is_found_wherever_it_stands(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20",
        "[1000 2000 3000 4000]",  # has a valid check digit
        "[1000 2000 3000 4000, and so on",
        "[[1000 2000 3000 4000]\n [1000 2000 3000 4000]]",
        "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0",
        "0000 1000 2000 3000 4000",
        "1998 1999 2000 2001 2002 2003 2004 2005 2006 2007",
        "1998\n1999\n2000\n2001\n2002\n2003\n2004\n2005\n2006\n2007\n",
        "0.4111111111111111 3.4111111111111111",
        "41111111111111111111111",  # inside a longer run: 23 digits
        "04111111111111111000000",
        "411111111111",  # 12 digits
        "4111 1111 1111 1112",  # no valid check digit
        "9780306406157 978-0-306-40615-7",
        "9780000000002",  # a book's number with a card's check digit too
        "5459\n    5777\n    10877\n    16109\n",  # a column, with a valid check digit
        "web/20170809091249/https",  # a date and time, likewise
        "2024-05-01 10:30:00.123456 1714559400",
    ],
)
def test_other_numbers_stay(text: str) -> None:
    assert masked(text) == text


@st.composite
def planted(draw: st.DrawFn) -> tuple[str, str, str]:
    """Prose, a number with a card's length and check digit in one of the groupings, prose."""
    length = draw(st.integers(13, 19))
    body = draw(st.text("0123456789", min_size=length - 1, max_size=length - 1))
    number = next(body + digit for digit in "0123456789" if passes_luhn(body + digit))
    assume(not number.startswith(("978", "979")) and not (length == 14 and number[0] in "12"))
    card = grouped(number, draw(st.sampled_from(GROUPS[length])), draw(st.sampled_from(BETWEEN)))
    prose = st.text(st.characters(exclude_categories=["Nd", "Cs"], exclude_characters="[]\r"))
    return draw(prose), card, draw(prose)


@given(planted())
def test_a_planted_card_number_is_always_masked(text: tuple[str, str, str]) -> None:
    before, card, after = text
    line_ends = "\n" * card.count("\n")
    others = {"mails": False, "ip_addresses": False, "phones": False}
    outcome, tally = applied(before + card + after, "personal_data", personal_data=others)
    assert outcome == f"{before}<card>{line_ends}{after}"
    assert tally == {"masked_cards": 1}
