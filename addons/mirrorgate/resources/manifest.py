"""The text of manifests, YAML or JSON: every document that can be read, and why the others cannot.

YAML is read the way Kubernetes reads it. One document that cannot be read does not hide the next.
"""

from __future__ import annotations

import re

import yaml

from ..errors import Problem
from .manifest_builder import MAX_DEPTH, Builder, Manifest, TooDeep

__all__ = ["MAX_SYNTAX_PROBLEMS", "read"]

MAX_SYNTAX_PROBLEMS = 20
"""In one file; each costs a fresh start of the parser."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SEPARATOR = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})", re.IGNORECASE)
"""A character beyond U+FFFF as JSON escapes it; YAML has another way."""


def read(text: str, file: str = "") -> tuple[list[Manifest], list[Problem]]:
    """Read every document of a text; empty ones are left out."""
    manifests: list[Manifest] = []
    problems: list[Problem] = []
    if text.lstrip("\ufeff \t\r\n-")[:1] in ("{", "["):
        text = _SURROGATES.sub(_joined, text)
    start = 1 if text.startswith("\ufeff") else 0
    failures = 0
    while True:
        base = text.count("\n", 0, start)
        builder = Builder(file, base, manifests, problems)
        try:
            for event in yaml.parse(text[start:], Loader=_LOADER):
                builder.take(event)
            break
        except yaml.YAMLError as error:
            problem, offset = _syntax_problem(error, text, start, file)
        except TooDeep as error:
            # The parser's own cost grows with the square of the depth, so it must not go on.
            problem = Problem(f"is nested deeper than {MAX_DEPTH} levels", file, error.mark.line + base + 1)
            offset = start + error.mark.index
        except UnicodeEncodeError as error:
            line = text.count("\n", 0, start + error.start) + 1
            problem, offset = Problem("is not valid Unicode", file, line), start + error.start
        if not builder.broken:
            problems.append(problem)
        failures += 1
        after = _SEPARATOR.search(text, max(start + 1, offset))
        if after is None:
            break
        if failures == MAX_SYNTAX_PROBLEMS:
            problems.append(Problem("has more syntax errors, which are not listed", file, problem.line))
            break
        start = after.start()
    return manifests, problems


def _joined(pair: re.Match[str]) -> str:
    high, low = int(pair[2], 16), int(pair[3], 16)
    return f"{pair[1]}\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"


def _syntax_problem(error: yaml.YAMLError, text: str, start: int, file: str) -> tuple[Problem, int]:
    """Return the problem and the offset in the text from which the next document may be looked for."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        position = getattr(error, "position", 0)
        offset = start + len(text[start:].encode(errors="surrogatepass")[:position].decode(errors="ignore"))
        return Problem(
            "holds a character that YAML does not allow",
            file,
            text.count("\n", 0, offset) + 1,
            hint="escape or remove it",
        ), offset
    offset = start + mark.index
    line = text.count("\n", 0, start) + mark.line + 1
    detail = ": ".join(part for part in (getattr(error, "context", None), getattr(error, "problem", None)) if part)
    begin = text.rfind("\n", 0, offset) + 1
    end = text.find("\n", offset)
    source = text[begin : end if end >= 0 else len(text)]
    hint = ""
    if "{{" in source:
        hint = "if this is a template, render it first"
    elif "\t" in source:
        hint = "YAML indents with spaces, not with tabs"
    return Problem(f"cannot be read as YAML: {detail}", file, line, hint=hint), offset
