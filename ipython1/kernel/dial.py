"""Opening a session with a controller: what agents and clients do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from weakref import WeakSet

from foolscap.api import DeadReferenceError, RemoteException, Tub, Violation
from foolscap.tokens import BananaError, NegotiationError, NoLocationHintsError, RemoteNegotiationError
from twisted.internet import error as net
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime

from ipython1.kernel import error, messages
from ipython1.kernel.carrier import LinkEnd, join, rejoin
from ipython1.kernel.error import ConnectionError, FURLError, IncompatiblePeer, ProtocolError, UnknownSession
from ipython1.kernel.framing import pack, unpack
from ipython1.kernel.furl import tub_and_location
from ipython1.kernel.hello import check_welcome, hello, new_id
from ipython1.kernel.line_dial import LineDialer, open_lines
from ipython1.kernel.link import SessionLink
from ipython1.kernel.peer import Receiver
from ipython1.kernel.redial import Redial, Resume
from ipython1.kernel.tubs import SharedTub, shared_tub, stop_all

_RECEIVES = {"engine": messages.TO_AGENT}  # all others are roles of clients
AGAIN_WITHIN = 10.0
"""Seconds that one attempt to take up a session again may take."""

_links: WeakSet[SessionLink] = WeakSet()


async def hang_up_all() -> None:
    """End every session that `dial` opened in this process, and its connection; a later `dial` makes new ones."""
    # A Tub that stops tells nobody: neither the peers, nor our own ends.
    for link in list(_links):
        link.close("hung up")
    await stop_all()
    await open_lines.stop()


class _Opened(NamedTuple):
    """The controller's welcome, our end, the reference to its end, and what lets go of the connection."""

    welcome: dict[str, Any]
    end: LinkEnd
    remote: Any
    release: Callable[[], None]


async def dial(
    furl: str,
    role: str,
    receiver: Receiver,
    *,
    reactor: IReactorTime,
    timeout: float,
    session: str | None = None,
    again: Callable[[], str] | None = None,
    name: str = "",
) -> SessionLink:
    """Open a session with the controller that `furl` leads to, in `role`.

    The session is taken up again by itself when the connection is lost; for that `again` is asked for the FURL, which
    may have changed (and may raise FURLError or FileTimeoutError).  `name` is what the user calls the session.

    Raises ConnectionError (nobody there, or not reached within `timeout` seconds), FURLError (a controller is there,
    but not the one, or not the role, that the FURL is for), IncompatiblePeer.
    """
    key = session or new_id()
    opened = await _opened(furl, hello(role, key, name=name), reactor, timeout)
    welcome = opened.welcome

    async def attempt(received: int) -> Resume:
        there = again() if again is not None else furl
        said = hello(role, key, welcome["ticket"], received, name)
        again_opened = await _opened(there, said, reactor, AGAIN_WITHIN)

        def resume(link: SessionLink) -> None:
            _, end, remote, release = again_opened
            try:
                rejoin(remote, end, link, again_opened.welcome["received"], _lost(there), release)
            except ProtocolError as problem:
                link.close(f"protocol error: {problem}")
            else:
                go_over(again_opened, there)

        return resume

    def go_over(opened: _Opened, there: str) -> None:
        address = opened.remote.tracker.broker.transport.getPeer()
        lines.go_over(link, opened.welcome.get("line"), key, tub_and_location(there)[0], address, _lost(there))

    lines = LineDialer(reactor, Redial(reactor, attempt, welcome["grace"]))
    link = SessionLink(reactor, welcome, welcome["incarnation"], _RECEIVES.get(role, messages.TO_CLIENT), lines)
    _links.add(link)
    join(opened.remote, opened.end, link, receiver, _lost(furl), opened.release)
    go_over(opened, furl)
    return link


def _lost(furl: str) -> str:
    return f"the connection to the controller at {tub_and_location(furl)[1]} was lost"


async def _opened(
    furl: str, said: Mapping[str, Any], reactor: IReactorTime, timeout: float
) -> _Opened:
    """What comes of saying hello; raises what `dial` does, or UnknownSession."""
    shared = shared_tub(tub_and_location(furl)[0], reactor)
    release = shared.use()
    try:
        welcome, end, remote = await _said(shared, furl, said, reactor, timeout)
    except BaseException:  # the dialing is cancelled, too
        release()
        raise
    remote.tracker.broker.watch(reactor, welcome["silence"])
    return _Opened(welcome, end, remote, release)


async def _said(
    shared: SharedTub, furl: str, said: Mapping[str, Any], reactor: IReactorTime, timeout: float
) -> tuple[dict[str, Any], LinkEnd, Any]:
    tub_id, location = tub_and_location(furl)
    opening = Deferred.fromCoroutine(_open(shared.tub, furl, said))
    opening.addTimeout(timeout, reactor)
    try:
        return await opening
    except (DeferredTimeout, net.TimeoutError):
        shared.retire()
        raise ConnectionError(
            f"the controller at {location} did not answer within {timeout:g} s: is the host right, and is the port open?"
        ) from None
    except (net.ConnectionRefusedError, net.NoRouteError, net.ConnectError, net.DNSLookupError) as problem:
        raise ConnectionError(
            f"no controller answers at {location} ({_reason(problem)}): start one with ipcontroller; if it runs, its"
            " FURL file is newer than this FURL: copy it again"
        ) from None
    except (BananaError, NegotiationError, RemoteNegotiationError):
        raise FURLError(
            f"what listens at {location} is not the controller of this FURL (tub {tub_id[:6]}...): copy the FURL file"
            " of the running controller again"
        ) from None
    except RemoteException:
        # The door was not found: KeyError from the Tub's table of names.
        raise FURLError(
            f"the controller at {location} does not know this FURL: it was made by an earlier run: copy the FURL file"
            " again"
        ) from None
    except (DeadReferenceError, net.ConnectionClosed) as problem:
        raise ConnectionError(f"the controller at {location} cut the connection off: {_reason(problem)}") from None
    except (Violation, NoLocationHintsError) as problem:
        raise FURLError(f"this FURL cannot be used: {problem}") from None


async def _open(tub: Tub, furl: str, said: Mapping[str, Any]) -> tuple[dict[str, Any], LinkEnd, Any]:
    door = await tub.getReference(furl)
    end = LinkEnd()
    answer, remote = await door.callRemote("open", pack(said), end)
    welcome = unpack(answer)
    if isinstance(welcome, dict) and "error" in welcome:
        raise _refusal(welcome["error"])
    check_welcome(welcome)
    if remote is None:
        raise ProtocolError("the controller welcomed us without a link")
    return welcome, end, remote


def _refusal(said: Any) -> Exception:
    """The exception for ``[class, text]``, as the controller's door says it."""
    known = (FURLError, IncompatiblePeer, ProtocolError, ConnectionError, UnknownSession)
    classes = {kind.__name__: kind for kind in known}
    name, text = said if isinstance(said, list) and len(said) == 2 else ("ProtocolError", "the session was refused")
    return classes.get(name, error.KernelError)(str(text))


def _reason(problem: BaseException) -> str:
    return str(problem).rstrip(".") or type(problem).__name__
