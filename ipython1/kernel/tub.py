"""The one place where Foolscap Tubs are made: their certificates and their options."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from foolscap.api import Tub


@dataclass(frozen=True)
class Keepalive:
    """Seconds of silence after which the peer is asked for a sign, and after which it is given up."""

    ask: int
    give_up: int


FOR_AGENTS = Keepalive(ask=4, give_up=10)
"""Nothing but a dead host or network keeps an agent silent."""
FOR_CLIENTS = Keepalive(ask=20, give_up=60)
"""A client's reactor shares its process with user code, which may hold the GIL for long."""


def new_certificate() -> str:
    """A new key (EC P-256: made and used far faster than RSA) and self-signed certificate, as PEM text."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ipython1")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Foolscap identifies a Tub by the hash of its certificate and checks no dates; others that look may.
        .not_valid_before(datetime.datetime(2000, 1, 1))
        .not_valid_after(datetime.datetime(2200, 1, 1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (private + certificate.public_bytes(serialization.Encoding.PEM)).decode("ascii")


def new_tub(keepalive: Keepalive, certificate: str | None = None) -> Tub:
    """A Tub with our options, not yet started; `certificate` is PEM text, made anew if None.

    Raises ValueError if `certificate` is no key and certificate.
    """
    pem = (certificate or new_certificate()).encode("ascii")
    try:
        tub = Tub(certData=pem)
    except Exception as problem:  # whatever the layers of the TLS library raise for a damaged file
        raise ValueError(f"no key and certificate: {problem}") from problem
    # With the default, awaiting a remote failure breaks: its value is a string, and no except clause is reached.
    tub.setOption("expose-remote-exception-types", False)
    # Nobody hands our references on to third parties, and nobody makes us dial where we did not want to.
    tub.setOption("accept-gifts", False)
    tub.setOption("keepaliveTimeout", keepalive.ask)
    tub.setOption("disconnectTimeout", keepalive.give_up)
    return tub
