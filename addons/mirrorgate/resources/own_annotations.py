"""The annotations that are ours: a mistyped one would be ignored in silence, as everybody ignores those of others."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Final

from ..errors import Problem, Severity
from .inference_pool import PROFILE_ANNOTATION
from .objects import Resource
from .pod import TARGET_PORT_ANNOTATION

__all__ = ["unknown_annotations"]

_PREFIX: Final = "mirrorgate.dev/"
_KNOWN: Final = {"Pod": TARGET_PORT_ANNOTATION, "InferencePool": PROFILE_ANNOTATION}


def unknown_annotations(obj: Resource) -> Iterator[Problem]:
    """Yield a warning for each annotation under our prefix that means nothing on an object of this kind."""
    known = _KNOWN.get(obj.kind, "")
    for name in obj.metadata.annotations:
        if name.startswith(_PREFIX) and name != known:
            at = obj.place.at(("metadata", "annotations", name))
            near = difflib.get_close_matches(name.lower(), [known], 1, 0.8) if known else []
            hint = f"did you mean {known}?" if near else ""
            message = f"the annotation {name} means nothing on objects of kind {obj.kind} and has no effect"
            yield Problem(message, at.file, at.line, f"{obj.title}: metadata.annotations", hint, Severity.WARNING)
