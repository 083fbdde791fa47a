"""Personal data and secrets are taken out; what only looks like them mostly stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.shadow.redacting import Redactor, is_card, is_iban


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("write to jane.doe+x@mail.example.org today", "write to [EMAIL] today"),
        ("J\u00fcrgen: j\u00fcrgen@example.de.", "J\u00fcrgen: [EMAIL]."),
        ("card 4111 1111 1111 1111, please", "card [CARD], please"),
        ("card 4111-1111-1111-1111", "card [CARD]"),
        ("IBAN DE89 3704 0044 0532 0130 00 is mine", "IBAN [IBAN] is mine"),
        ("GB82WEST12345698765432", "[IBAN]"),
        ("call +49 (0) 30 1234-5678 now", "call [PHONE] now"),
        ("call 555.123.4567 now", "call [PHONE] now"),
        ("ssn 123-45-6789", "ssn [PHONE]"),
        ("host 192.168.10.1 is down", "host [IP] is down"),
        ("Authorization: Bearer abcdefghijklmnop123", "Authorization: [TOKEN]"),
        ("key sk-proj-abcdefghijklmnop1234", "key [API KEY]"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "[API KEY]"),
        ("AKIAIOSFODNN7EXAMPLE", "[API KEY]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl", "[TOKEN]"),
        ("password: hunter2hunter2 and on", "[SECRET] and on"),
        ("my_api_key=abcdef123456", "my_[SECRET]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY----- rest", "[PRIVATE KEY] rest"),
    ],
)
def test_what_is_found(text: str, shown: str) -> None:
    """Each kind is replaced by its name, the rest stays."""
    assert Redactor().text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "the answer is 42, or 3.14159265358979",
        "order 4111111111111112 of 2024-05-06",
        "version 1.2.3.4.5",
        "a @ b, and tokens: 24 vs 27",
        "The quick brown fox jumps over the lazy dog.",
        "password is a word",
        "",
    ],
)
def test_what_is_left_alone(text: str) -> None:
    """Numbers without a valid check digit, decimals and prose stay as they are."""
    assert Redactor().text(text) == text


def test_the_users_patterns_come_first() -> None:
    """A user's pattern is applied before ours; one that matches nothing changes nothing."""
    redactor = Redactor([r"Project \w+", r"x*"])
    assert redactor.text("Project Falcon, a@b.org") == "[REDACTED], [EMAIL]"


def test_every_string_of_a_json_value_is_redacted() -> None:
    """Values at any depth, names of fields, and whole numbers that are cards."""
    value = {"a@b.org": [{"x": "mail a@b.org"}, 4111111111111111, 7, None, True, 1.5]}
    assert Redactor().value({"db_password": "x", "password": 1, "compass": "y"}) == {
        "db_password": "[SECRET]",
        "password": 1,
        "compass": "y",
    }
    assert Redactor().value(value) == {"[EMAIL]": [{"x": "mail [EMAIL]"}, "[CARD]", 7, None, True, 1.5]}


def test_a_value_that_is_nested_too_deeply_is_dropped_there() -> None:
    """Depth does not exhaust the stack."""
    value: object = "a@b.org"
    for _ in range(600):
        value = [value]
    assert "[TOO DEEP]" in repr(Redactor().value(value))


@given(st.text(max_size=300))
def test_any_text_can_be_redacted(text: str) -> None:
    """No text raises."""
    assert isinstance(Redactor().text(text), str)


@pytest.mark.parametrize("unit", ["a", "1", "1 ", "1.", "@", "a@", "A1", "eyJ", "-", "sk-", "token: ", "DE89 ", "("])
def test_no_repetition_makes_it_slow(unit: str) -> None:
    """A hundred kilobytes of what the patterns begin with are redacted in linear time: the test's timeout decides."""
    Redactor().text(unit * (100_000 // len(unit)))


def test_check_digits() -> None:
    """Luhn and mod 97 decide."""
    assert is_card("4111 1111 1111 1111")
    assert not is_card("4111 1111 1111 1112")
    assert not is_card("0000 0000 0000 0000")
    assert not is_card("411111111111")
    assert is_iban("DE89 3704 0044 0532 0130 00")
    assert not is_iban("DE88 3704 0044 0532 0130 00")
    assert not is_iban("DE89")
