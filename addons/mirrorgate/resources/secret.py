"""Secret (core/v1): the certificates of HTTPS listeners. Its content is never shown."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from .objects import LooseResource

__all__ = ["Secret"]


def _decode(value: object) -> object:
    if isinstance(value, bytes):
        return value
    try:
        # Line breaks inside are what `base64` writes and what YAML's `|` keeps.
        return base64.b64decode("".join(value.split()), validate=True) if isinstance(value, str) else value
    except (binascii.Error, ValueError):
        raise PydanticCustomError("base64", "must be text in base64") from None


Content = Annotated[bytes, BeforeValidator(_decode)]


class Secret(LooseResource):
    type: str = "Opaque"
    data: dict[str, Content] = Field(default_factory=dict, repr=False)
    """Decoded."""
    string_data: dict[str, str] = Field(default_factory=dict, repr=False)

    def value(self, key: str) -> bytes | None:
        """Return one entry; `stringData` wins over `data`, as when it is written."""
        if key in self.string_data:
            return self.string_data[key].encode()
        return self.data.get(key)
