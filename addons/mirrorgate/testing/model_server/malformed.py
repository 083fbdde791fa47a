"""Answers that break HTTP/1.1, one way each: what a gateway must refuse to pass on."""

from __future__ import annotations

__all__ = ["GARBAGE", "MALFORMED"]

GARBAGE = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\xff\xfe\x00 this is no HTTP \r\n\r\n"
"""What a TLS server, or anything else, says on a port that should speak HTTP."""

_OK = b"HTTP/1.1 200 OK\r\n"

MALFORMED: dict[str, bytes] = {
    "bad_chunk_size": _OK + b"transfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "chunk_too_large": _OK + b"transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "chunk_without_end": _OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
    "two_lengths": _OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    "length_and_chunked": _OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "negative_length": _OK + b"content-length: -5\r\n\r\nhello",
    "short_body": _OK + b"content-length: 100\r\n\r\nhello",
    "huge_header": _OK + b"x-huge: " + b"a" * 1_000_000 + b"\r\ncontent-length: 0\r\n\r\n",
    "many_headers": _OK + b"".join(b"x-%d: y\r\n" % index for index in range(20_000)) + b"content-length: 0\r\n\r\n",
    "bare_lf": b"HTTP/1.1 200 OK\ncontent-length: 5\n\nhello",
    "nul_in_header": _OK + b"x-nul: a\x00b\r\ncontent-length: 5\r\n\r\nhello",
    "bad_header_name": _OK + b"x bad: 1\r\ncontent-length: 5\r\n\r\nhello",
    "bad_status": b"HTTP/1.1 abc OK\r\ncontent-length: 5\r\n\r\nhello",
    "bad_version": b"HTTP/3.9 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    "http_0_9": b"hello",
    "half_a_head": b"HTTP/1.1 200 OK\r\ncontent-le",
    "endless_informational": b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 1000,
    "second_answer": _OK + b"content-length: 5\r\n\r\nhello" + _OK + b"content-length: 7\r\n\r\nsmuggle",
}
"""By name, the bytes. The connection closes in good order after them."""
