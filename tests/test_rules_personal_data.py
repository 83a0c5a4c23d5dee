"""Mails, IP addresses and phone numbers."""

import pytest
from rule_settings import PUBLISHED, applied


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to jane.doe+x@mail.example.co.uk.", "write to <mail>."),
        ("<o'hara_1@example.museum>", "<<mail>>"),
        ("müller@bücher.example", "<mail>"),
        ("邮箱test@example.com联系", "邮箱<mail>联系"),
        ("mailto:a@b.de?subject=x", "mailto:<mail>?subject=x"),
        ("git@github.com:x/y.git", "<mail>:x/y.git"),
        ("a" * 65 + "@example.org", None),
        ("@property a@b, x@ y.org, a @b.org", None),
        ("A@B.T + x@y.sum() + pkg@1.2.3", None),
        ("a..b@example.org", None),
    ],
)
def test_mails(text: str, expected: str | None) -> None:
    assert applied(text, "personal_data")[0] == (expected or text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at 192.0.2.1:8080 and 10.0.0.255/8.", "at <ip>:8080 and <ip>/8."),
        ("1.1.1.1", "<ip>"),
        ("http://[2001:DB8:0:0:8:800:200C:417A]/x", "http://[<ip>]/x"),
        ("fe80::1%eth0 2001:db8:: 64:ff9b::192.0.2.33.", "<ip>%eth0 <ip> <ip>."),
        ("::ffff:192.0.2.128", "<ip>"),
        ("256.1.1.1 1.2.3 1.2.3.4.5 01.02.03.04.2020", None),
        ("v1.2.3.4, version 1.2.3.4, Section 1.2.3.4", None),
        ("std::vector, abc::def, dead::beef, x[1::2], x[::-1], ::1", None),
        ("10:30:45, 00:1a:2b:3c:4d:5e, 1:2:3:4:5:6:7:8:9", None),
    ],
)
def test_ip_addresses(text: str, expected: str | None) -> None:
    assert applied(text, "personal_data")[0] == (expected or text)


@pytest.mark.parametrize(
    "phone",
    [
        "+44 20 7946 0958",
        "+442079460958",
        "+49 (0)30 901820",
        "+1 (555) 010-9999",
        "+1-555-010-9999",
        "+1.555.010.9999",
        "+86 138 0000 1234",
        "\uff0b81\u30003\u30001234\u30005678",
        "0049 30 901820",
        "(555) 010-9999",
        "(555)010-9999",
        "555-010-9999",
        "555.010.9999",
        "1-800-555-0199",
        "01 23 45 67 89",
        "01.23.45.67.89",
        "020 7946 0958",
        "(030) 901820",
        "030/9018200",
        "0171-1234567",
        "03-1234-5678",
        "138-0000-1234",
    ],
)
def test_phones(phone: str) -> None:
    outcome, tally = applied(f"call ({phone}), please; or {phone}.", "personal_data")
    assert outcome == "call (<phone>), please; or <phone>."
    assert tally == {"masked_phones": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tel.: 5550123", "Tel.: <phone>"),
        ("phone number is 555 0123 456", "phone number is <phone>"),
        ("手机号码：13800001234", "手机号码：<phone>"),  # noqa: RUF001
        ("Mobile 2019-2021", None),
        ("telephone 12", None),
    ],
)
def test_plain_numbers_are_phones_after_a_word_for_phone(text: str, expected: str | None) -> None:
    assert applied(text, "personal_data")[0] == (expected or text)


@pytest.mark.parametrize(
    "text",
    [
        "1234567890, 13800001234, 2079460958",
        "2024-05-01, 01.02.2003, 01-02-03 04, 1/2/2003 10:30, 05.12.2020 10",
        "version 1.2.3, 10.15.7, 2024.05.01",
        "ISBN 978-3-16-148410-0, 0-306-40615-2, 3-16-148410-X, 0306406152",
        "192 1024 4096, 384 512 1024, 01 02 03 04 05 06 07",
        "+12.345678 +98.765432, +1.5e10, 1+2345678.9",
        "$1,234,567.89 and 1 234 567 890",
        "pages 100-105, 555-1234, 0123-456, 12-34-56",
        "GMT+0800, +0100",
        "0.123 0.456 0.789, 1.000 2.000 3.000",
        "123-45-67890, 1998-99-1000",
        "doi:10.1016/0024-3795(87)90118-2, MA 01760-2098, 1.007 276 466 812, \\uff081883-1950",
    ],
)
def test_other_numbers_are_no_phones(text: str) -> None:
    assert applied(text, "personal_data")[0] == text


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("cards", "masked_cards"),
        ("mails", "masked_mails"),
        ("ip_addresses", "masked_ip_addresses"),
        ("phones", "masked_phones"),
    ],
)
def test_each_kind_has_its_own_switch(kind: str, count: str) -> None:
    text = "4111111111111111 a@b.org 192.0.2.1 2001:db8::1 +44 20 7946 0958"
    switches = PUBLISHED["personal_data"]
    alone = dict.fromkeys(switches, False) | {kind: True}
    _, tally = applied(text, "personal_data", personal_data=alone)
    assert set(tally) == {count}
    _, tally = applied(text, "personal_data", personal_data={kind: False})
    assert set(tally) == {f"masked_{name}" for name in switches} - {count}
    off = dict.fromkeys(switches, False)
    assert applied(text, "personal_data", personal_data=off) == (text, {})


def test_a_masked_text_is_not_masked_again() -> None:
    text = "4111 1111 1111 1111, a@b.org, 192.0.2.1, 2001:db8::1, (555) 010-9999"
    once, _ = applied(text, "personal_data")
    assert once == "<card>, <mail>, <ip>, <ip>, <phone>"
    assert applied(str(once), "personal_data") == (once, {})
