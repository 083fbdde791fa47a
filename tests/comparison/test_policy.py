from mirrorgate.comparison.policy import ComparisonPolicy


def test_a_policy_of_the_users_adds_to_the_defaults() -> None:
    """Nothing that is noisy by nature has to be named again; header names are taken in any case."""
    policy = ComparisonPolicy(similar_at=0.5).ignoring(("$.x",), ("X-A",))
    assert {"$.x", "id"} <= set(policy.ignored_paths)
    assert {"x-a", "date"} <= set(policy.ignored_headers)
    assert policy.similar_at == 0.5
