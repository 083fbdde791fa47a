"""Tests of how problems read."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mirrorgate.resources.loading import Loaded
from mirrorgate.resources.wording import show

Declare = Callable[..., Loaded]

ROUTE = "spec: {{rules: [{{{}}}]}}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (80, "80"),
        ("a", "'a'"),
        ({}, "a mapping"),
        ([], "a list"),
        ("a" * 100, "'" + "a" * 56 + "..."),
    ],
)
def test_values_are_shown_as_a_manifest_has_them(value: object, text: str) -> None:
    """Long ones are cut."""
    assert show(value) == text


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("HTTPRoute", "spec: {hostname: [a]}", ("unknown field 'hostname'", "did you mean hostnames?")),
        ("HTTPRoute", "spec: {parent_refs: []}", ("unknown field 'parent_refs'", "did you mean parentRefs?")),
        ("HTTPRoute", ROUTE.format("backendrefs: []"), ("unknown field 'backendrefs'", "did you mean backendRefs?")),
        (
            "HTTPRoute",
            ROUTE.format("timeouts: {total: 1s}"),
            ("unknown field 'total'", "known here: backendRequest, request"),
        ),
        ("HTTPRoute", "sepc: {}\nspec: {}", ("unknown field 'sepc'", "did you mean spec?")),
        ("HTTPRoute", "  label: {}\nspec: {}", ("unknown field 'label'", "did you mean labels?")),
        ("HTTPRoute", "spec: {hostnames: a}", ("must be a list, not 'a'", "")),
        (
            "HTTPRoute",
            "spec: {hostnames: [1.5]}",
            ("must be a string, not 1.5", "put it in quotes to make it a string"),
        ),
        ("HTTPRoute", "spec: []", ("must be a mapping, not a list", "")),
        (
            "HTTPRoute",
            ROUTE.format("backendRefs: [{name: s, port: '80'}]"),
            ("must be an integer, not '80'", "take the quotes off"),
        ),
        (
            "ShadowPolicy",
            "spec: {targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r}], minPairs: x}",
            ("must be an integer, not 'x'", ""),
        ),
        (
            "ShadowPolicy",
            "spec: {targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r}], "
            "candidate: {keepCredentials: 'True'}}",
            ("must be true or false, not 'True'", "take the quotes off"),
        ),
        (
            "ShadowPolicy",
            "spec: {targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r}], "
            "guardrails: [{name: g, margin: .nan}]}",
            ("must be a number, not '.nan'", ""),
        ),
        (
            "ShadowPolicy",
            "spec: {targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r}], "
            "guardrails: [{name: g, margin: 1.0e999}]}",
            ("must be a finite number", ""),
        ),
        (
            "HTTPRoute",
            ROUTE.format("name: ''"),
            ("must have at least 1 character, not 0", ""),
        ),
        (
            "HTTPRoute",
            ROUTE.format(f"matches: [{{path: {{value: /{'a' * 1024}}}}}]"),
            ("must have at most 1024 characters, not 1025", ""),
        ),
        ("Gateway", "spec: {gatewayClassName: c}", ("is required", "")),
        (
            "EndpointSlice",
            "addressType: ipv4",
            ("must be 'IPv4', 'IPv6' or 'FQDN', not 'ipv4'", "did you mean IPv4?"),
        ),
        ("EndpointSlice", "addressType: 4", ("must be 'IPv4', 'IPv6' or 'FQDN', not 4", "")),
    ],
)
def test_messages_and_hints(declare: Declare, kind: str, body: str, expected: tuple[str, str]) -> None:
    """They say what is wanted, what is there, and what to do."""
    (problem,) = declare(kind, body).problems
    assert (problem.message, problem.hint) == expected


def test_every_pattern_of_a_scalar_has_words(declare: Declare) -> None:
    """Nobody has to read a regular expression to learn what a host name is."""
    body = """\
        spec:
          hostnames: [A]
          parentRefs: [{group: A, kind: "1", name: g, namespace: A, sectionName: A}]
          rules:
            - matches: [{headers: [{name: "a b", value: "\\n"}]}]
    """
    messages = [problem.message for problem in declare("HTTPRoute", body).problems]
    assert len(messages) == 7
    assert not any("matches" in message for message in messages)


def test_a_list_is_not_short_because_its_entries_are_wrong(declare: Declare) -> None:
    """One mistake is one problem."""
    (problem,) = declare("Gateway", "spec: {gatewayClassName: c, listeners: [{name: a, port: 1}]}").problems
    assert problem.path == "Gateway default/x: spec.listeners[0].protocol"
