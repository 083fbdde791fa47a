"""Conditions: their shape in the API."""

from mirrorgate.routing.conditions import Finding, documents, false, merge_messages, true, unknown


def test_documents() -> None:
    """A condition carries the generation that it is about, and no time."""
    assert documents([true("Accepted", "Accepted", "fine")], 3) == [
        {"type": "Accepted", "status": "True", "observedGeneration": 3, "reason": "Accepted", "message": "fine"}
    ]


def test_false_and_unknown() -> None:
    """A finding becomes reason and message."""
    finding = Finding("Pending", "wait")
    assert (false("A", finding).status, unknown("A", finding).status) == ("False", "Unknown")
    assert false("A", finding).reason == "Pending"


def test_merge_messages() -> None:
    """Several findings are told in one message, each once, under the first one's reason."""
    findings = [Finding("A", "one"), Finding("B", "two"), Finding("A", "one")]
    assert merge_messages(findings) == Finding("A", "one; two")
