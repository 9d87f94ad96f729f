"""Where files lie: one ipython directory may hold several profiles, and each of these several clusters.

=========================== ==================================================
in the ipython directory    what
=========================== ==================================================
``profile_NAME/``           what is listed here, for the profile of that name
``ipython1.kernel.ini``     configuration
``security/``               FURL files and the controller's certificate
``log/``                    logs
``db/``                     what the controller keeps for its next start
``clusters/NAME/``          the state of the cluster of that name
=========================== ==================================================

``security``, ``log`` and ``db`` are those of the cluster called 'default'; the others have folders of their names in them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ipython1.kernel.error import ConfigError, FURLError

FURL_FILES = {
    "engine": "ipcontroller-engine.furl",
    "multiengine": "ipcontroller-mec.furl",
    "task": "ipcontroller-tc.furl",
}
"""The name of the file for each role of ours; see `furl_name`."""
ALL_FURL_FILES = "ipcontroller-*.furl"
"""The pattern that the names of all roles' files match, and no other name."""
DEFAULT_CLUSTER = "default"
"""The cluster that is meant when none is named."""
PROFILE_PREFIX = "profile_"

_ROLE = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_OUR_FILES = re.compile(r"ip(controller|engine|cluster)", re.IGNORECASE)


@dataclass(frozen=True)
class Places:
    """The files and folders of one cluster; `ipython_dir` is the profile's folder where there is a profile."""

    ipython_dir: Path
    cluster_id: str = DEFAULT_CLUSTER

    @property
    def security_dir(self) -> Path:
        """The folder of FURL and certificate files."""
        return self._of_cluster("security")

    @property
    def log_dir(self) -> Path:
        """The folder of logs."""
        return self._of_cluster("log")

    @property
    def store_file(self) -> Path:
        """The database in which the controller keeps what is to outlive it."""
        return self._of_cluster("db") / "ipcontroller.sqlite"

    @property
    def state_dir(self) -> Path:
        """The folder where the cluster's state is kept while it runs."""
        return self.ipython_dir / "clusters" / self.cluster_id

    def _of_cluster(self, name: str) -> Path:
        folder = self.ipython_dir / name
        return folder if self.cluster_id == DEFAULT_CLUSTER else folder / self.cluster_id

    def furl_file(self, role: str) -> Path:
        """The FURL file of `role`: in the security folder or, for the default cluster, directly in the ipython
        directory, where users copy it.

        Where there is none, the path in the security folder.
        """
        name = furl_name(role)
        usual = self.security_dir / name
        copied = self.ipython_dir / name
        if self.cluster_id == DEFAULT_CLUSTER and copied.exists() and not usual.exists():
            return copied
        return usual

    def options(self) -> tuple[str, ...]:
        """The options with which another command on this host finds the same places."""
        options = ["--ipython-dir", str(self.ipython_dir)]
        if self.cluster_id != DEFAULT_CLUSTER:
            options += ["--cluster-id", self.cluster_id]
        return tuple(options)

    def typed_options(self) -> tuple[str, ...]:
        """The same, as a person would type them: without what goes without saying."""
        named = self._profile()
        if named is None:
            return self.options()
        options = ["--profile", named] if named else []
        if self.cluster_id != DEFAULT_CLUSTER:
            options += ["--cluster-id", self.cluster_id]
        return tuple(options)

    def client_arguments(self, role: str) -> str:
        """What a client of `role` on this host is to be called with, as Python source."""
        named = self._profile()
        if named is None:
            return repr(str(self.security_dir / FURL_FILES[role]))
        arguments = [f"profile={named!r}"] if named else []
        if self.cluster_id != DEFAULT_CLUSTER:
            arguments.append(f"cluster_id={self.cluster_id!r}")
        return ", ".join(arguments)

    def _profile(self) -> str | None:
        """The profile by which the folder is found; '' for none, and None if it must be named itself."""
        usual = find_ipython_dir()
        if self.ipython_dir == usual:
            return ""
        name = self.ipython_dir.name.removeprefix(PROFILE_PREFIX)
        return name if profile_dir(usual, name) == self.ipython_dir and _NAME.fullmatch(name) else None


def furl_name(role: str) -> str:
    """The name of the FURL file for `role`; FURLError for what no interface can be called, as no file could be."""
    if not _ROLE.fullmatch(role):
        raise FURLError(
            f"{role!r:.50} is no role of an interface: it names a file, and is made of up to 32 small letters, digits,"
            " _ and -, beginning with a letter"
        )
    return FURL_FILES.get(role, f"ipcontroller-{role}.furl")


def find_ipython_dir(option: str | os.PathLike[str] | None = None) -> Path:
    """The folder of everything that ipython1 keeps: `option`, else ``$IPYTHONDIR``, else ``~/.ipython``."""
    return Path(option or os.environ.get("IPYTHONDIR") or "~/.ipython").expanduser().absolute()


def profile_dir(ipython_dir: Path, profile: str) -> Path:
    """The folder of a profile."""
    return ipython_dir / f"{PROFILE_PREFIX}{profile}"


def find_places(
    ipython_dir: str | os.PathLike[str] | None = None,
    profile: str | None = None,
    cluster_id: str | None = None,
) -> Places:
    """The places of a cluster, by its name, in a profile or in none, in the ipython directory `ipython_dir` (see
    `find_ipython_dir`).

    Raises ConfigError for a name that cannot be used.
    """
    folder = find_ipython_dir(ipython_dir)
    if profile is not None:
        folder = profile_dir(folder, check_profile(profile))
    return Places(folder, DEFAULT_CLUSTER if cluster_id is None else check_cluster_id(cluster_id))


def check_profile(name: str) -> str:
    """`name`, if a profile may be called that; else ConfigError."""
    return _checked(name, "a profile")


def check_cluster_id(name: str) -> str:
    """`name`, if a cluster may be called that; else ConfigError."""
    if _OUR_FILES.match(_checked(name, "a cluster")):
        # Its folders lie beside files like ipcontroller.log.
        raise ConfigError(
            f"{name!r} cannot be the name of a cluster: files beside its folder begin like that"
        )
    return name


def _checked(name: str, what: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r:.80} cannot be the name of {what}, as folders are called that: use up to 64 letters, digits,"
            " dots, underscores and hyphens (neither a dot nor a hyphen first)"
        )
    return name
