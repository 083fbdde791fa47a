"""The examples of config/policies, in the place of the quickstart's policy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mirrorgate.director import rules_of
from mirrorgate.errors import Severity
from mirrorgate.resources.loading import Document, load
from mirrorgate.routing.matching import Question
from mirrorgate.routing.overrides import Answered, Replacement
from mirrorgate.routing.rate_limits import applying
from mirrorgate.snapshot import Snapshot

CONFIG = Path(__file__).resolve().parent.parent / "config"
EXAMPLES = sorted((CONFIG / "policies").glob("*.yaml"))


def served(example: Path) -> Snapshot:
    """Compile the quickstart with an example, in place of its policy of the same name where there is one."""
    quickstart = (CONFIG / "quickstart" / "mirrorgate.yaml").read_text(encoding="utf-8")
    added = example.read_text(encoding="utf-8")
    kept = [
        part for part in quickstart.split("\n---\n") if not ("name: chat-limits" in part and "chat-limits" in added)
    ]
    loaded = load([Document("quickstart.yaml", "\n---\n".join(kept)), Document(example.name, added)])
    assert [str(problem) for problem in loaded.problems if problem.severity is Severity.ERROR] == []
    return Snapshot.of(loaded.inventory, 1)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: str(path.name))
def test_everything_in_an_example_is_honoured(example: Path) -> None:
    """Accepted, and nothing is left out."""
    snapshot = served(example)
    seen = 0
    for (kind, _, _), status in snapshot.statuses.items():
        if kind in ("BackendTrafficPolicy", "TokenRateLimitPolicy"):
            [ancestor] = status["ancestors"]  # type: ignore[misc]
            [condition] = ancestor["conditions"]  # type: ignore[index]
            assert (condition["type"], condition["message"]) == ("Accepted", "Policy has been accepted.")
            seen += 1
    assert seen


def test_the_tokens_of_keys() -> None:
    """Each key has both limits, and whoever has none shares one."""
    [rule] = rules_of(served(CONFIG / "policies" / "tokens-per-key.yaml"))
    assert rule.traffic.shaping is not None
    assert rule.traffic.shaping.limits is not None

    def limits(*fields: tuple[bytes, bytes]) -> list[tuple[int, str, tuple[str, ...]]]:
        assert rule.traffic.shaping is not None
        assert rule.traffic.shaping.limits is not None
        found = applying(rule.traffic.shaping.limits, Question("POST", "/v1/chat/completions", fields), "127.0.0.1")
        return [(limit.meter[1], limit.charge.value, key) for limit, key in found]

    assert limits((b"authorization", b"Bearer a")) == [
        (100_000, "Total", ("Bearer a",)),
        (500_000, "Output", ("Bearer a",)),
    ]
    assert limits() == [(20_000, "Total", ())]


def test_the_openai_errors_are_json() -> None:
    """An overflow, a rate limit and a timeout, each in the API's shape."""
    [rule] = rules_of(served(CONFIG / "policies" / "openai-errors.yaml"))
    assert rule.traffic.shaping is not None
    for status, kind in ((503, "service_unavailable_error"), (429, "rate_limit_error"), (504, "server_error")):
        [first, *_] = [one for one in rule.traffic.shaping.overrides if one.fits(status, [], local=True)]
        assert isinstance(first.action, Replacement)
        error = json.loads(first.action.text(Answered(status, "UO", "", 'a "text"', "POST", "HTTP/1.1")))["error"]
        assert (error["type"], set(error)) == (kind, {"message", "type", "param", "code"})
        assert not first.fits(status, [], local=False)
