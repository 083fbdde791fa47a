"""A ShadowPolicy is read as the API writes it and as Python does."""

import pytest

from mirrorgate.resources.shadow_policy import ShadowPolicySpec
from mirrorgate.shadow.policy import ContentPolicy, Policy, policy_of

SPEC = """{
  "mode": "equivalence", "candidate": {"tokenBudget": {"tokens": 1000, "interval": "60s"}},
  "guardrails": [{"name": "errors", "margin": 0.01}, {"name": "mine", "scorer": {"entryPoint": "a:b"}}],
  "alphaPromote": 0.02, "minPairs": 10, "slo": {"ttft": "500ms"},
  "ignore": {"jsonPaths": ["$.x"], "headers": ["date"]},
  "journal": {"content": "redacted", "redactPatterns": ["x+"]}
}"""


@pytest.mark.parametrize("by_alias", [True, False])
def test_what_the_resource_model_writes_is_read(by_alias: bool) -> None:
    """Both spellings of the model's own JSON give the same policy."""
    spec = ShadowPolicySpec.model_validate_json(SPEC)
    policy = policy_of(spec.model_dump_json(by_alias=by_alias).encode())
    assert policy.mode == "equivalence"
    assert policy.candidate.token_budget is not None
    assert (policy.candidate.token_budget.tokens, policy.candidate.token_budget.interval) == (1000, 60.0)
    assert [guardrail.name for guardrail in policy.guardrails] == ["errors", "mine"]
    assert policy.guardrails[1].scorer is not None
    assert policy.guardrails[1].scorer.entry_point == "a:b"
    assert (policy.alpha_promote, policy.alpha_reject, policy.min_pairs) == (0.02, 0.05, 10)
    assert policy.slo is not None
    assert policy.slo.ttft == 0.5
    assert policy.ignore.json_paths == ("$.x",)
    assert policy.journal.content is ContentPolicy.REDACTED
    assert policy.journal.redact_patterns == ("x+",)


def test_the_defaults_are_the_resource_models() -> None:
    """An empty policy and the model's defaults are the same, and store nothing."""
    assert policy_of(ShadowPolicySpec().model_dump_json().encode()) == Policy() == policy_of(b"") == policy_of(b"{}")
    assert Policy().journal.content is ContentPolicy.NONE


@pytest.mark.parametrize("spec", [b"[", b"[]", b'{"journal": {"content": "all"}}', b"\xff", b'{"mode": 3}'])
def test_an_unreadable_policy_stores_nothing(spec: bytes) -> None:
    """What cannot be read counts as the default policy."""
    assert policy_of(spec) == Policy()
