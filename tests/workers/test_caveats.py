"""What workers do not share is said."""

from mirrorgate.workers.caveats import caveats


def test_rate_limits_are_told_of_and_limits_that_are_shared_are_not() -> None:
    """A sentence for each object that has one."""
    found = caveats(
        [
            {"kind": "TokenRateLimitPolicy", "metadata": {"name": "t"}, "spec": {}},
            {
                "kind": "BackendTrafficPolicy",
                "metadata": {"name": "b", "namespace": "n"},
                "spec": {"rateLimit": {"a": 1}},
            },
            {"kind": "BackendTrafficPolicy", "metadata": {"name": "c"}, "spec": {"circuitBreaker": {}}},
            {"kind": "Secret", "metadata": {"name": "s"}},
        ],
        3,
    )
    assert [text.partition(":")[0] for text in found] == ["TokenRateLimitPolicy default/t", "BackendTrafficPolicy n/b"]
    assert all("3 times" in text for text in found)
