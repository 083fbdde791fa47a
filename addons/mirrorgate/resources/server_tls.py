"""How a server is spoken to over TLS: whom to ask for, and whose word about it counts."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["ServerTls"]


@dataclass(frozen=True, slots=True)
class ServerTls:
    """TLS towards a destination's servers. Equal values may share a connection; others never do."""

    server_name: str = ""
    """Sent as SNI; unless `names` or `uris` are given, what the certificate has to be for. Empty: the endpoint's host,
    which is sent as SNI where it is a name."""
    authorities: str = field(default="", repr=False)
    """Certificates in PEM that are trusted, and no others; empty for the system's."""
    names: tuple[str, ...] = ()
    """DNS names, one of which (or of `uris`) the certificate has to have instead of `server_name`."""
    uris: tuple[str, ...] = ()
    """URIs, one of which (or of `names`) the certificate has to have instead of `server_name`."""
    verify: bool = True
    """Whether the certificate is looked at; without, whoever answers is believed."""
    minimum: str = "1.2"
    """The least version of TLS, `1.2` or `1.3`."""
    maximum: str = "1.3"
    source: str = ""
    """Kind and `namespace/name` of the object that declares it."""

    def fits(self, names: tuple[str, ...], uris: tuple[str, ...]) -> bool:
        """Tell whether a certificate with these alternative names is one that is asked for by `names` or `uris`."""
        return any(_matches(wanted, name.lower()) for wanted in self.names for name in names) or any(
            uri in self.uris for uri in uris
        )


def _matches(wanted: str, name: str) -> bool:
    """Match a name with a certificate's; in both a leading `*` stands for exactly one label (RFC 6125, 6.4.3)."""
    if wanted == name:
        return True
    if name.startswith("*."):
        return wanted.partition(".")[2] == name[2:]
    return wanted.startswith("*.") and name.partition(".")[2] == wanted[2:]
