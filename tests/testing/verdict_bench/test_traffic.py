from mirrorgate.testing.verdict_bench.traffic import ADAPTERS, calls


def test_a_seed_is_a_traffic() -> None:
    """The same seed gives the same requests, another one others."""
    assert calls(50, 1) == calls(50, 1)
    assert calls(50, 1) != calls(50, 2)


def test_the_mixture_is_the_documented_one() -> None:
    """Tools, JSON, adapters and streams have about the shares that the charter names."""
    requests = [call.request for call in calls(2000, 1)]

    def share(count: int) -> float:
        return count / len(requests)

    assert 0.11 < share(sum(bool(request.tools_json) for request in requests)) < 0.18
    assert 0.09 < share(sum(request.json_mode for request in requests)) < 0.15
    assert 0.09 < share(sum(request.model in ADAPTERS for request in requests)) < 0.15
    assert 0.66 < share(sum(request.stream for request in requests)) < 0.74
    assert 0.46 < share(sum(request.temperature == 0 for request in requests)) < 0.54
