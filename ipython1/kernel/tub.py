"""The one place where Foolscap Tubs are made: their certificates and their options."""

from __future__ import annotations

import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from foolscap.api import DeadReferenceError, Tub
from foolscap.broker import Broker
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ipython1.kernel.watch import Watch


class WatchedBroker(Broker):
    """A connection that can be watched for silence.

    Foolscap's own timers notice it only in up to twice the time, and then wait until the peer has taken what was
    written.
    """

    _watch: Watch | None = None

    def watch(self, clock: IReactorTime, silence: float) -> None:
        """From now on end the connection when nothing comes for `silence` seconds, after asking for a sign."""
        if self.disconnected:
            return
        if self._watch is None:
            self._watch = Watch(self.sendPING, self.cut_off)
        self._watch.begin(clock, silence)

    def dataReceived(self, chunk: bytes) -> None:
        if self._watch is not None:
            self._watch.heard = True
        super().dataReceived(chunk)

    def _doCall(self, delivery: Any) -> Any:  # Foolscap's name
        try:
            return super()._doCall(delivery)
        finally:
            # They and what has read them refer to each other: the garbage collector would find them late, since it does not
            # see how large the batches in them are.
            delivery.allargs.args, delivery.allargs.kwargs = [], {}

    def getYourReferenceByName(self, name: Any) -> Any:  # Foolscap's name
        # Foolscap asks in a later turn than the one in which it found this connection: it may have been lost between.
        if self.disconnected:
            raise DeadReferenceError("the connection was lost")
        return super().getYourReferenceByName(name)

    def cut_off(self) -> None:
        """End the connection at once, and tell those on this side who use it."""
        transport: Any = self.transport  # which has more than the interface says
        self.shutdown(Failure(ConnectionLost()))
        # Without this it would be kept until the peer has taken all that was written.
        transport.abortConnection()

    def finish(self, why: Failure) -> None:
        """See `Broker`: the connection is over."""
        if self._watch is not None:
            self._watch.end()
        super().finish(why)


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


def new_tub(certificate: str | None = None) -> Tub:
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
    tub.brokerClass = WatchedBroker
    return tub
