"""FURL files: how they are read and written.

A FURL, ``pb://<tub id>@<host>:<port>,.../<secret>``, is a capability: whoever holds it may do what it is for, so the
files that hold one are readable by their owner alone.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tempfile
from pathlib import Path

from ipython1.kernel.error import FURLError, NoFURLFile, SecurityError
from ipython1.kernel.places import FURL_FILES, Places, find_places, furl_name

_FURL = re.compile(r"pb://(?P<tub>[a-z2-7]{32})@(?P<location>[^/\s@]+)/(?P<secret>[^/\s]+)")


def prepare_security_dir(places: Places) -> Path:
    """The folder of FURL and certificate files, made if need be and closed to other users; else SecurityError."""
    folder = places.security_dir
    try:
        # The folders of other clusters lie in that of the default one.
        for each in (places.ipython_dir / "security", folder):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
            if stat.S_IMODE(each.stat().st_mode) != 0o700:
                each.chmod(0o700)
    except OSError as problem:
        raise SecurityError(
            f"cannot make the private folder {folder}: {problem.strerror}; give another one with --ipython-dir"
        ) from problem
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SecurityError(f"no permission to write in {folder}; give another folder with --ipython-dir")
    return folder


def read_furl(furl_or_file: str | os.PathLike[str], role: str, places: Places | None = None) -> str:
    """The FURL that `furl_or_file` is or that the file of that name holds; '' means the file of `role` in `places`,
    by default those of the default cluster.

    Raises TypeError for anything but text or a path, FURLError for a file that is missing, empty, not readable,
    or holds no FURL.
    """
    if not isinstance(furl_or_file, str | os.PathLike):
        raise TypeError(
            f"a FURL or the path of a FURL file is needed, not {furl_or_file!r:.60}: addresses of host and port gave"
            f" way to FURLs, which the controller writes to {furl_name(role)}"
        )
    text = os.fspath(furl_or_file).strip()
    if re.match(r"pbu?://", text):
        return _checked(text, "")
    path = Path(text).expanduser() if text else (places or find_places()).furl_file(role)
    return _checked(_read(path, role), f" in {path}")


def chosen_furl(
    furl_or_file: str | os.PathLike[str], role: str, profile: str | None, cluster_id: str | None
) -> str | os.PathLike[str]:
    """`furl_or_file`, or where a profile or a cluster is named, the file of `role` of that cluster.

    Raises ConfigError for a name that cannot be used, TypeError if both are given.
    """
    if profile is None and cluster_id is None:
        return furl_or_file
    if furl_or_file != "":
        raise TypeError("give a FURL or its file, or else the profile and cluster_id by which the file is found")
    return find_places(None, profile, cluster_id).furl_file(role)


def _read(path: Path, role: str) -> str:
    try:
        lines = path.read_text(encoding="ascii", errors="replace").split("\n")
    except FileNotFoundError:
        option = "" if role in FURL_FILES else " and the --interface-class that has this role"
        raise NoFURLFile(
            f"there is no FURL file {str(path)!r}: start a controller with ipcontroller or ipcluster{option}, or copy its"
            f" {furl_name(role)} there"
        ) from None
    except OSError as problem:
        raise FURLError(f"cannot read the FURL file {str(path)!r}: {problem.strerror}") from None
    # Lines that start with # are comments, as in Foolscap's own FURL files.
    text = "".join(line for line in lines if not line.startswith("#")).strip()
    if not text:
        raise FURLError(f"the FURL file {str(path)!r} is empty: copy it again from the controller's security folder")
    return text


def _checked(text: str, where: str) -> str:
    if text.startswith("pbu://"):
        raise FURLError(f"the FURL{where} is of the unencrypted form pbu://, which is not supported")
    if not _FURL.fullmatch(text):
        # Not the whole text: it may hold a secret.
        raise FURLError(f"{text[:12]!r}...{where} is no FURL: it should look like pb://tubid@host:port/secret")
    return text


def tub_and_location(furl: str) -> tuple[str, str]:
    """The tub id and the location (host:port,host:port) of a FURL: what may be shown of it."""
    match = _FURL.fullmatch(furl)
    assert match is not None
    return match["tub"], match["location"].replace("tcp:", "")


def secret(furl: str) -> str:
    """The part of a FURL that makes it a capability."""
    return furl.rpartition("/")[2]


def write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone can read; readers see the old content or the new one, and nothing between.

    Raises SecurityError if that cannot be done.
    """
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as problem:
        if temporary is not None:
            remove(Path(temporary))
        raise SecurityError(f"cannot write {path}: {problem.strerror}") from problem


def stamp(path: Path) -> str:
    """What tells this content of a file that `write_private` writes from others; clocks have no part in it."""
    try:
        status = path.stat()
    except OSError:
        return "none"
    return f"{status.st_ino}-{status.st_mtime_ns}"


def remove(path: Path) -> None:
    """Remove a file if it is there."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
