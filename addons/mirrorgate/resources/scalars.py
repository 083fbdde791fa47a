"""The scalar types of the Kubernetes and Gateway API: names, ports, weights, durations, header fields.

Each carries the pattern and the limits of its CRD, so that what the API server refuses is refused here.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, ValidationInfo
from pydantic_core import PydanticCustomError

__all__ = [
    "NAME_PATTERN",
    "PATTERNS",
    "Duration",
    "Group",
    "HeaderName",
    "HeaderValue",
    "Hostname",
    "IPText",
    "IntOrString",
    "KindName",
    "LabelValue",
    "NamespaceName",
    "ObjectName",
    "Port",
    "PreciseHostname",
    "Quantity",
    "SectionName",
    "Timestamp",
    "UInt32",
    "Weight",
    "format_duration",
    "parse_duration",
    "parse_quantity",
]

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_DURATION = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}")
_PART = re.compile(r"([0-9]+)(ms|h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

NAME_PATTERN = rf"^{_SUBDOMAIN}$"
_NAMESPACE = rf"^{_LABEL}$"
_GROUP = rf"^$|^{_SUBDOMAIN}$"
_KIND = r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"
_HOSTNAME = rf"^(\*\.)?{_SUBDOMAIN}$"
_HEADER_NAME = r"^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$"
_HEADER_VALUE = r"^[!-~]+([\t ]?[!-~]+)*$"
_LABEL_VALUE = r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"

PATTERNS = {
    NAME_PATTERN: "a DNS subdomain (RFC 1123): lower-case letters, digits, '-' and '.', such as my-name",
    _NAMESPACE: "a DNS label (RFC 1123): lower-case letters, digits and '-'",
    _GROUP: "an API group, such as gateway.networking.k8s.io, or empty for the core group",
    _KIND: "a kind, such as Service",
    _HOSTNAME: "a host name in lower case, such as example.com or *.example.com, without scheme and port",
    _HEADER_NAME: "a header name (RFC 9110, 5.6.2): letters, digits and !#$%&'*+-.^_`|~",
    _HEADER_VALUE: "a header value: visible ASCII characters with single blanks between them",
    _LABEL_VALUE: "a label's value: letters, digits, '-', '_' and '.', beginning and ending with a letter or digit",
}
"""What each pattern asks for, in words."""

ObjectName = Annotated[str, Field(min_length=1, max_length=253)]
"""The name of an object that is referred to."""
NamespaceName = Annotated[str, Field(min_length=1, max_length=63, pattern=_NAMESPACE)]
SectionName = Annotated[str, Field(min_length=1, max_length=253, pattern=NAME_PATTERN)]
Group = Annotated[str, Field(max_length=253, pattern=_GROUP)]
"""An API group; empty for the core group."""
KindName = Annotated[str, Field(min_length=1, max_length=63, pattern=_KIND)]
PreciseHostname = Annotated[str, Field(min_length=1, max_length=253, pattern=NAME_PATTERN)]
Hostname = Annotated[str, Field(min_length=1, max_length=253, pattern=_HOSTNAME)]
"""A host name, or one with `*.` in place of its first labels."""
Port = Annotated[int, Field(ge=1, le=65535)]
Weight = Annotated[int, Field(ge=0, le=1_000_000)]
UInt32 = Annotated[int, Field(ge=0, le=4_294_967_295)]
HeaderName = Annotated[str, Field(min_length=1, max_length=256, pattern=_HEADER_NAME)]
"""A `token` of RFC 9110, 5.6.2."""
HeaderValue = Annotated[str, Field(min_length=1, max_length=4096, pattern=_HEADER_VALUE)]
LabelValue = Annotated[str, Field(max_length=63, pattern=_LABEL_VALUE)]


def parse_duration(text: str) -> float | None:
    """Return a duration of GEP-2257, such as `1m30s`, in seconds; `None` when it is none."""
    if not _DURATION.fullmatch(text):
        return None
    return sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def format_duration(seconds: float) -> str:
    """Write seconds as a duration of GEP-2257, exact to the millisecond."""
    left = round(seconds * 1000)
    text = ""
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        number, left = divmod(left, size)
        text += f"{number}{unit}" if number else ""
    return text or "0s"


def _to_seconds(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str):
        seconds = parse_duration(value)
        if seconds is not None:
            return seconds
    elif isinstance(value, int | float) and not isinstance(value, bool) and not info.context:
        return float(value)  # given by code, not by a manifest
    raise PydanticCustomError(
        "duration",
        "must be a duration such as '500ms', '30s' or '1h30m': up to four numbers of at most five digits, each with a "
        "unit of h, m, s or ms (GEP-2257)",
    )


Duration = Annotated[
    float,
    BeforeValidator(_to_seconds),
    Field(ge=0, allow_inf_nan=False),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
]
"""A duration of GEP-2257, in seconds. `0s` switches off what it limits, unless the field says otherwise."""


def _to_instant(value: object) -> object:
    if isinstance(value, str):
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            instant = None
        if instant is not None and instant.tzinfo is not None:
            return instant.astimezone(UTC)
    elif isinstance(value, datetime):
        return value
    raise PydanticCustomError("timestamp", "must be a time of RFC 3339, such as '2025-04-21T08:00:00Z'")


Timestamp = Annotated[datetime, BeforeValidator(_to_instant)]


def _check_ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise PydanticCustomError("ip", "must be an IPv4 or IPv6 address") from None


IPText = Annotated[str, AfterValidator(_check_ip)]
"""An IP address in its canonical text."""


def _check_int_or_string(value: object) -> object:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise PydanticCustomError("int_or_string", "must be an integer or a string")


IntOrString = Annotated[int | str, PlainValidator(_check_int_or_string)]

_QUANTITY = re.compile(r"[+-]?([0-9]+|[0-9]+\.[0-9]*|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?")


def _check_quantity(value: object) -> object:
    if isinstance(_check_int_or_string(value), str) and not _QUANTITY.fullmatch(str(value)):
        raise PydanticCustomError("quantity", "must be a quantity such as 1024, '32Ki' or '1.5Mi'")
    return value


_SUFFIXES = {"": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3} | {
    f"{letter}{binary}": (1024.0 if binary else 1000.0) ** power
    for power, letter in enumerate("kMGTPE", start=1)
    for binary in ("", "i")
}
_SUFFIXES["Ki"] = _SUFFIXES.pop("ki")


def parse_quantity(value: int | str) -> float:
    """Return what a quantity of Kubernetes stands for: `32Ki` is 32768, `1.5M` 1500000, `500m` a half."""
    if isinstance(value, int):
        return float(value)
    match = re.fullmatch(r"([+-]?[0-9.]+)(?:([eE][+-]?[0-9]+)|([A-Za-z]*))", value)
    if match is None:
        raise ValueError(f"{value!r} is no quantity")
    return float(match[1] + (match[2] or "")) * _SUFFIXES[match[3] or ""]


Quantity = Annotated[int | str, PlainValidator(_check_quantity)]
"""A number of bytes, or text such as `32Ki`."""
