"""Tests of ShadowPolicy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mirrorgate.resources.loading import Loaded
from mirrorgate.resources.shadow_policy import ShadowPolicySpec

Declare = Callable[..., Loaded]
Faults = Callable[..., dict[str, str]]

TARGET = "targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r}]"


def policy(body: str) -> str:
    return f"spec: {{{TARGET}, {body}}}"


def test_the_defaults_of_a_mirror_without_a_policy() -> None:
    """No credentials, no content, no load on production, an end to everything."""
    spec = ShadowPolicySpec()
    assert (spec.mode, spec.control.percent, spec.sampling.by, spec.journal.content) == (
        "replacement",
        0,
        "Request",
        "none",
    )
    candidate = spec.candidate
    assert (candidate.timeout, candidate.connect_timeout, candidate.idle_timeout) == (300.0, 5.0, 60.0)
    assert (candidate.max_parallel_requests, candidate.keep_credentials) == (64, False)
    assert (spec.alpha_promote, spec.alpha_reject, spec.min_pairs) == (0.01, 0.05, 200)


def test_a_policy_with_nothing_but_a_target_has_the_same_defaults(declare: Declare) -> None:
    """Declaring a policy changes nothing by itself."""
    spec = declare("ShadowPolicy", f"spec: {{{TARGET}}}").inventory.shadow_policies["default", "x"].spec
    assert spec.model_dump(exclude={"target_refs"}) == ShadowPolicySpec().model_dump(exclude={"target_refs"})


FULL = f"""\
spec:
  {TARGET}
  mode: equivalence
  candidate:
    modelName: other
    headers: {{set: [{{name: A, value: b}}], add: [], remove: [c]}}
    keepCredentials: true
    timeout: 1m
    connectTimeout: 500ms
    idleTimeout: 30s
    maxParallelRequests: 1
    tokenBudget: {{tokens: 100000, interval: 1h}}
  control: {{percent: 10}}
  sampling: {{by: Header, header: X-User}}
  guardrails:
    - {{name: errors, margin: 0.01}}
    - {{name: repetition, enabled: false}}
    - {{name: judge, margin: 0.2, scorer: {{url: "http://127.0.0.1:9000/score"}}}}
    - {{name: mine, scorer: {{entryPoint: "package.module:function"}}}}
  alphaPromote: 0.05
  alphaReject: 0.1
  minPairs: 20
  conversationWindow: 10s
  slo: {{ttft: 500ms, itl: 50ms, e2e: 1m}}
  ignore: {{jsonPaths: [$.id], headers: [Date]}}
  journal: {{content: redacted, redactPatterns: ['\\d{{16}}']}}
"""


def test_everything_that_a_policy_can_have(declare: Declare) -> None:
    """Every field is read, durations in seconds."""
    loaded = declare("ShadowPolicy", FULL)
    assert loaded.problems == ()
    spec = loaded.inventory.shadow_policies["default", "x"].spec
    assert spec.candidate.token_budget is not None
    assert spec.candidate.token_budget.interval == 3600.0
    assert spec.slo is not None
    assert (spec.slo.ttft, spec.slo.itl, spec.slo.e2e) == (0.5, 0.05, 60.0)
    assert spec.guardrails[2].margin == 0.2


def test_a_spec_survives_json(declare: Declare) -> None:
    """The shadow process gets it as JSON, under either name of a field."""
    spec = declare("ShadowPolicy", FULL).inventory.shadow_policies["default", "x"].spec
    for by_alias in (True, False):
        copy = ShadowPolicySpec.model_validate_json(spec.model_dump_json(by_alias=by_alias))
        assert copy.model_dump() == spec.model_dump()


@pytest.mark.parametrize(
    ("body", "path", "words"),
    [
        ("spec: {}", "spec", "targetRefs or targetSelectors must be specified"),
        ("spec: {targetRefs: []}", "spec", "targetRefs or targetSelectors must be specified"),
        (
            "spec: {targetRefs: [{group: '', kind: Service, name: s}]}",
            "spec.targetRefs[0]",
            "can only target an HTTPRoute",
        ),
        (policy("mode: shadow"), "spec.mode", "must be 'replacement' or 'equivalence', not 'shadow'"),
        (policy("candidate: {timeout: 0s}"), "spec.candidate.timeout", "a shadow leg is never endless"),
        (policy("candidate: {idleTimeout: 0s}"), "spec.candidate.idleTimeout", "never endless"),
        (policy("candidate: {timeout: 300}"), "spec.candidate.timeout", "must be a duration"),
        (policy("candidate: {maxParallelRequests: 0}"), "spec.candidate.maxParallelRequests", "at least 1"),
        (policy("candidate: {tokenBudget: {tokens: 5}}"), "spec.candidate.tokenBudget.interval", "is required"),
        (policy("control: {percent: 101}"), "spec.control.percent", "at most 100"),
        (policy("sampling: {by: Header}"), "spec.sampling", "header must be specified when by is 'Header'"),
        (policy("sampling: {header: X}"), "spec.sampling.header", "by must be 'Header' when header is set"),
        (
            policy("guardrails: [{name: errors}, {name: errors}]"),
            "spec.guardrails[1].name",
            "a guardrail is listed once",
        ),
        (policy("guardrails: [{name: length}]"), "spec.guardrails[0].name", "must be one of broken_streams, "),
        (policy("guardrails: [{name: errors, margin: 1}]"), "spec.guardrails[0].margin", "must be less than 1"),
        (
            policy("guardrails: [{name: errors, scorer: {url: 'http://x/'}}]"),
            "spec.guardrails[0].scorer",
            "errors is built in",
        ),
        (
            policy("guardrails: [{name: a, scorer: {}}]"),
            "spec.guardrails[0].scorer",
            "exactly one of url and entryPoint",
        ),
        (policy("guardrails: [{name: a, scorer: {url: 'file:///x'}}]"), "spec.guardrails[0].scorer.url", "matches"),
        (policy("guardrails: [{name: a, scorer: {entryPoint: x}}]"), "spec.guardrails[0].scorer.entryPoint", "matches"),
        (policy("alphaPromote: 0"), "spec.alphaPromote", "must be more than 0"),
        (policy("alphaReject: 1"), "spec.alphaReject", "must be less than 1"),
        (policy("minPairs: 0"), "spec.minPairs", "at least 1"),
        (policy("journal: {content: all}"), "spec.journal.content", "must be 'none', 'redacted' or 'full'"),
        (
            policy("journal: {redactPatterns: ['a', '(']}"),
            "spec.journal.redactPatterns[1]",
            "must be a regular expression",
        ),
    ],
)
def test_what_a_policy_must_not_be(faults: Faults, body: str, path: str, words: str) -> None:
    """Every rule is checked at its field."""
    found = faults("ShadowPolicy", body)
    assert list(found) == [path]
    assert words in found[path]


@pytest.mark.parametrize(
    ("spec", "idle"),
    [
        ({}, []),
        ({"mode": "equivalence"}, ["mode"]),
        ({"mode": "equivalence", "control": {"percent": 1}}, []),
        ({"mode": "equivalence", "guardrails": [{"name": "divergence", "enabled": False}]}, []),
        ({"guardrails": [{"name": "errors"}, {"name": "divergence", "margin": 0.1}]}, ["guardrails[1]"]),
        ({"guardrails": [{"name": "ttft_slo"}, {"name": "e2e_slo"}], "slo": {"e2e": "1s"}}, ["guardrails[0]"]),
        ({"guardrails": [{"name": "itl_slo", "enabled": False}]}, []),
    ],
)
def test_what_does_nothing_is_told(spec: dict[str, Any], idle: list[str]) -> None:
    """A guardrail that has nothing to go by is no error, and not passed over in silence."""
    assert [path for path, _ in ShadowPolicySpec.model_validate(spec, by_alias=True, by_name=False).idle] == idle
