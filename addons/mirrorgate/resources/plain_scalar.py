"""What a plain scalar of YAML stands for: YAML 1.1 as the parser of Kubernetes has it, not as Python's has it.

Times and sexagesimals (`1:30`) stay text, infinities too; `yes` and `off` are booleans.
"""

from __future__ import annotations

import re

__all__ = ["resolve"]

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
}
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9_]{0,39})")
_BASED = re.compile(r"([-+]?)(0x[0-9a-fA-F_]{1,32}|0o?[0-7_]{1,40}|0b[01_]{1,64})")
_FLOAT = re.compile(
    r"[-+]?((\.[0-9]{1,40}|[0-9]{1,40}\.[0-9]{0,40})([eE][-+]?[0-9]{1,3})?|[0-9]{1,40}[eE][-+]?[0-9]{1,3})"
)
"""All bounded, so that no number costs more to read than it is long."""


def resolve(text: str) -> object:
    """Return the value of a plain scalar: null, bool, int, float or text."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "-+.0123456789":
        return text
    if _DECIMAL.fullmatch(text):
        return int(text.replace("_", ""))
    based = _BASED.fullmatch(text)
    if based is not None:
        digits = based[2].replace("_", "")
        number = digits if digits[1:2] in ("x", "o", "b") else "0o" + digits[1:]
        try:
            return int(based[1] + number, 0)
        except ValueError:
            return text
    return float(text) if _FLOAT.fullmatch(text) else text
