"""What a verdict is based on changes with what matters to the comparison, and with nothing else."""

import json
from typing import Any

import pytest

from mirrorgate.resources.shadow_policy import ShadowPolicySpec
from mirrorgate.shadow.basis import judging_of

SUBJECT = json.dumps({"candidate": {"ref": "Service default/c:1"}, "primary": []}).encode()


def spec(**fields: Any) -> bytes:
    """Return a policy as the proxy sends it."""
    model = ShadowPolicySpec.model_validate(fields)
    return json.dumps(model.model_dump(mode="json", by_alias=True, exclude_none=True)).encode()


def identity(**fields: Any) -> str:
    return judging_of("m", spec(**fields), SUBJECT).identity


def test_the_defaults() -> None:
    """Eight guardrails decide about a replacement, and quality is not among them."""
    judging = judging_of("m", spec(), SUBJECT)
    policy = judging.basis.policy
    assert policy.deciding == len(judging.names) == 8
    assert (policy.quality, judging.basis.mode, judging.scorers) == (False, "replacement", {})
    assert judging.basis.subject == json.loads(SUBJECT)
    assert (policy.alpha_promote, policy.alpha_reject, policy.min_pairs) == (0.01, 0.05, 200)
    assert policy.conversation_seconds == 60.0


@pytest.mark.parametrize(
    "fields",
    [{}, {"control": {"percent": 5}, "guardrails": [{"name": "divergence", "enabled": False}]}],
)
def test_equivalence_that_nothing_measures_is_no_word_on_quality(fields: dict[str, Any]) -> None:
    """Without a control arm there is no divergence: PROMOTE must not say more than that the candidate works."""
    assert not judging_of("m", spec(mode="equivalence", **fields), SUBJECT).basis.policy.quality


def test_everything_that_a_policy_sets() -> None:
    """Margins, what is disabled, SLOs, the control arm, scorers, error rates."""
    judging = judging_of(
        "m",
        spec(
            mode="equivalence",
            control={"percent": 5},
            alphaPromote=0.02,
            alphaReject=0.1,
            minPairs=7,
            conversationWindow="0s",
            slo={"ttft": "500ms"},
            guardrails=[
                {"name": "errors", "margin": 0.2},
                {"name": "repetition", "enabled": False},
                {"name": "judge", "margin": 0.1, "scorer": {"url": "http://u:p@127.0.0.1:9/x?key=1"}},
                {"name": "off", "enabled": False, "scorer": {"entryPoint": "a.b:c"}},
            ],
        ),
        SUBJECT,
    )
    policy = judging.basis.policy
    assert (policy.alpha_promote, policy.alpha_reject, policy.min_pairs, policy.quality) == (0.02, 0.1, 7, True)
    assert policy.conversation_seconds == 0.0
    margins = {guardrail.name: guardrail.margin for guardrail in policy.guardrails}
    assert (margins["errors"], margins["judge"], margins["ttft_slo"]) == (0.2, 0.1, 0.03)
    assert {"repetition", "off", "e2e_slo"}.isdisjoint(margins)
    assert next(each for each in policy.guardrails if each.name == "divergence").gating
    assert judging.slo.ttft == 0.5
    assert list(judging.scorers) == ["judge"]
    shown = judging.basis.rules["scorers"]["judge"]
    assert shown["url"] == "http://127.0.0.1:9/x"
    assert "key" not in json.dumps(judging.basis.rules["scorers"])


def test_what_starts_the_evidence_anew() -> None:
    """Each of these is another comparison."""
    changes: list[dict[str, Any]] = [
        {},
        {"mode": "equivalence"},
        {"alphaPromote": 0.02},
        {"minPairs": 100},
        {"slo": {"e2e": "1s"}},
        {"ignore": {"jsonPaths": ["$.x"]}},
        {"control": {"percent": 5}},
        {"candidate": {"modelName": "next"}},
        {"candidate": {"headers": {"set": [{"name": "x-variant", "value": "b"}]}}},
        {"conversationWindow": "5s"},
        {"guardrails": [{"name": "errors", "margin": 0.2}]},
        {"guardrails": [{"name": "errors", "enabled": False}]},
        {"guardrails": [{"name": "mine", "scorer": {"url": "http://127.0.0.1/a"}}]},
        {"guardrails": [{"name": "mine", "scorer": {"url": "http://127.0.0.1/a?b"}}]},
        {"guardrails": [{"name": "mine", "scorer": {"entryPoint": "a:b"}}]},
    ]
    found = [identity(**change) for change in changes]
    found += [judging_of("n", spec(), SUBJECT).identity, judging_of("m", spec(), b"{}").identity]
    assert len(set(found)) == len(changes) + 2


@pytest.mark.parametrize(
    "change",
    [
        {"journal": {"content": "full"}},
        {"sampling": {"by": "Conversation"}},
        {"candidate": {"maxParallelRequests": 3, "tokenBudget": {"tokens": 5, "interval": "1m"}}},
        {"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "r"}]},
    ],
)
def test_what_goes_on(change: dict[str, Any]) -> None:
    """What is kept, sampled and spent says nothing about what is compared."""
    assert identity(**change) == identity()


def test_more_or_less_control_goes_on() -> None:
    """Its share is no part of the comparison, only that there is one."""
    assert identity(control={"percent": 5}) == identity(control={"percent": 50})


@pytest.mark.parametrize(
    "guardrail",
    [
        {"name": "unknown"},
        {"name": "errors", "margin": 1.5},
        {"name": "errors", "margin": 0.0},
        {"name": "errors", "scorer": {"url": "http://x/"}},
    ],
)
def test_a_guardrail_that_cannot_be_judged_is_left_out(guardrail: dict[str, Any]) -> None:
    """The configuration refuses it; if it comes here all the same, the others are judged."""
    raw = json.dumps({"guardrails": [guardrail, {"name": "refusal", "margin": 0.3}]}).encode()
    policy = judging_of("m", raw, SUBJECT).basis.policy
    margins = {each.name: each.margin for each in policy.guardrails}
    assert (margins["errors"], margins["refusal"]) == (0.005, 0.3)
    assert "unknown" not in margins


@pytest.mark.parametrize("garbage", [b"", b"[", b"[]", b"\xff", b'{"candidate": 3}', b'{"mode": 3}'])
def test_garbage_is_the_default_policy(garbage: bytes) -> None:
    """Nothing is raised for what comes over the channel."""
    judging = judging_of("m", garbage, garbage)
    assert judging.basis.policy == judging_of("m", spec(), b"").basis.policy
