"""Opening a session with a controller: what agents and clients do."""

from __future__ import annotations

import os
from typing import Any
from weakref import WeakSet

from foolscap.api import DeadReferenceError, RemoteException, Tub, Violation
from foolscap.tokens import BananaError, NegotiationError, NoLocationHintsError, RemoteNegotiationError
from twisted.internet import error as net
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime

from ipython1.kernel import error, messages
from ipython1.kernel.carrier import LinkEnd, join
from ipython1.kernel.error import ConnectionError, FURLError, IncompatiblePeer, ProtocolError
from ipython1.kernel.framing import pack, unpack
from ipython1.kernel.furl import tub_and_location
from ipython1.kernel.hello import check_welcome, hello, new_id
from ipython1.kernel.link import SessionLink
from ipython1.kernel.peer import Receiver
from ipython1.kernel.tub import FOR_AGENTS, FOR_CLIENTS, Keepalive, new_tub

_RECEIVES = {"engine": messages.TO_AGENT}  # all others are roles of clients
_KEEPALIVE = {"engine": FOR_AGENTS}
_tubs: dict[tuple[int, Keepalive], Tub] = {}
_links: WeakSet[SessionLink] = WeakSet()


def _shared_tub(keepalive: Keepalive) -> Tub:
    """The process's Tub: it dials, and never listens.  A forked child gets one of its own."""
    key = (os.getpid(), keepalive)
    if key not in _tubs:
        _tubs[key] = new_tub(keepalive)
        _tubs[key].startService()
    return _tubs[key]


async def hang_up_all() -> None:
    """End every session that `dial` opened in this process, and its connection; a later `dial` makes new ones."""
    # A Tub that stops tells nobody: neither the peers, nor our own ends.
    for link in list(_links):
        link.close("hung up")
    for key in [key for key in _tubs if key[0] == os.getpid()]:
        await _tubs.pop(key).stopService()


async def dial(
    furl: str, role: str, receiver: Receiver, *, reactor: IReactorTime, timeout: float, session: str | None = None
) -> SessionLink:
    """Open a session with the controller that `furl` leads to, in `role`.

    Raises ConnectionError (nobody there, or not reached within `timeout` seconds), FURLError (a controller is there,
    but not the one, or not the role, that the FURL is for), IncompatiblePeer.
    """
    tub_id, location = tub_and_location(furl)
    opening = Deferred.fromCoroutine(_open(furl, role, session or new_id()))
    opening.addTimeout(timeout, reactor)
    try:
        welcome, end, remote = await opening
    except (DeferredTimeout, net.TimeoutError):
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
    link = SessionLink(reactor, welcome, welcome["incarnation"], _RECEIVES.get(role, messages.TO_CLIENT))
    _links.add(link)
    join(remote, end, link, receiver, f"the connection to the controller at {location} was lost")
    return link


async def _open(furl: str, role: str, session: str) -> tuple[dict[str, Any], LinkEnd, Any]:
    door = await _shared_tub(_KEEPALIVE.get(role, FOR_CLIENTS)).getReference(furl)
    end = LinkEnd()
    answer, remote = await door.callRemote("open", pack(hello(role, session)), end)
    welcome = unpack(answer)
    if isinstance(welcome, dict) and "error" in welcome:
        raise _refusal(welcome["error"])
    check_welcome(welcome)
    if remote is None:
        raise ProtocolError("the controller welcomed us without a link")
    return welcome, end, remote


def _refusal(said: Any) -> Exception:
    """The exception for ``[class, text]``, as the controller's door says it."""
    classes = {kind.__name__: kind for kind in (FURLError, IncompatiblePeer, ProtocolError, ConnectionError)}
    name, text = said if isinstance(said, list) and len(said) == 2 else ("ProtocolError", "the session was refused")
    return classes.get(name, error.KernelError)(str(text))


def _reason(problem: BaseException) -> str:
    return str(problem).rstrip(".") or type(problem).__name__
