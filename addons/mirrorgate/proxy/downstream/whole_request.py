"""Tells whether bytes are exactly one request, and of what kind: all that an answer without a look at it takes.

The framing is llhttp's, as strict as where requests are served (`messages.http1`); only its fields are not collected,
which is most of what reading a head costs (2 us against 25).
"""

from __future__ import annotations

import httptools

__all__ = ["WholeRequest"]


class WholeRequest:
    """The latest request that `read` has found."""

    def __init__(self) -> None:
        self.url = b""
        """Its target as on the wire."""
        self.head = False
        """Whether its answer has no body."""
        self._parser = httptools.HttpRequestParser(self)
        """Between two requests; one that has read anything else is replaced."""
        self._begun = 0
        self._keeps = False
        """Whether it is whole, and leaves its connection to another one."""

    def read(self, data: bytes) -> bool:
        """Tell whether these are one request of HTTP/1.1, its body included, behind which its connection stays.

        What is malformed, cut, pipelined, for an upgrade or the last of its connection is not.
        """
        parser = self._parser
        self.url, self._begun, self._keeps = b"", 0, False
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._parser = httptools.HttpRequestParser(self)
            return False
        if self._begun != 1 or not self._keeps or parser.get_http_version() != "1.1":
            self._parser = httptools.HttpRequestParser(self)
            return False
        self.head = parser.get_method() == b"HEAD"
        return True

    def on_message_begin(self) -> None:
        self._begun += 1

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_message_complete(self) -> None:
        # Asked here: once a message is over, the parser has forgotten its fields.
        self._keeps = self._parser.should_keep_alive()
