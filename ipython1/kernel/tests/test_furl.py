"""FURL files, found and read."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel import furl
from ipython1.kernel.error import FURLError, SecurityError
from ipython1.kernel.places import FURL_FILES, Places

FURL = "pb://" + "a" * 32 + "@tcp:10.0.0.1:4000,tcp:127.0.0.1:4000/" + "s" * 32


class ReadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.security = furl.prepare_security_dir(Places(self.directory))

    def test_furl_itself(self) -> None:
        """A FURL is taken as it is."""
        self.assertEqual(furl.read_furl(f" {FURL}\n", "multiengine"), FURL)

    def test_file(self) -> None:
        """A path, as text or Path, is read."""
        path = self.security / "some.furl"
        furl.write_private(path, f"# a comment\n{FURL}\n")
        self.assertEqual(furl.read_furl(str(path), "engine"), FURL)
        self.assertEqual(furl.read_furl(path, "engine"), FURL)

    def test_home(self) -> None:
        """``~`` is the home folder."""
        self.patch(os, "environ", {**os.environ, "HOME": str(self.directory.absolute())})
        furl.write_private(self.directory / "some.furl", FURL)
        self.assertEqual(furl.read_furl("~/some.furl", "engine"), FURL)

    def test_default_file(self) -> None:
        """Without an argument the role's file is read, in the security folder or where users copy it."""
        copied = self.directory / FURL_FILES["multiengine"]
        furl.write_private(copied, FURL)
        self.assertEqual(furl.read_furl("", "multiengine", Places(self.directory)), FURL)
        usual = self.security / FURL_FILES["multiengine"]
        furl.write_private(usual, FURL.replace("s", "t"))
        self.assertEqual(furl.read_furl("", "multiengine", Places(self.directory)), FURL.replace("s", "t"))

    def test_errors(self) -> None:
        """What is missing, empty, or no FURL is named, as a ValueError; an address is a TypeError."""
        empty = self.directory / "empty.furl"
        empty.write_text("\n# nothing\n")
        binary = self.directory / "binary.furl"
        binary.write_bytes(os.urandom(100))
        for wrong, said in (
            ("/does/not/exist.furl", "/does/not/exist.furl"),
            (empty, "is empty"),
            (binary, "binary.furl"),
            (self.directory, "cannot read"),
            ("pb://nonsense", "no FURL"),
            (FURL.replace("pb:", "pbu:"), "unencrypted"),
            ("hello", "hello"),
        ):
            error = self.assertRaises(FURLError, furl.read_furl, wrong, "multiengine")
            self.assertIsInstance(error, ValueError)
            self.assertIn(said, str(error))
        error = self.assertRaises(TypeError, furl.read_furl, ("127.0.0.1", 10105), "multiengine")
        self.assertIn("FURL", str(error))

    def test_secret_is_not_shown(self) -> None:
        """A malformed FURL is not repeated: it may hold a secret."""
        error = self.assertRaises(FURLError, furl.read_furl, f"pb://x@host:1/{'s' * 32}", "engine")
        self.assertNotIn("ssss", str(error))


class FolderTests(SynchronousTestCase):
    def test_closed_to_others(self) -> None:
        """A folder that was open to others is closed."""
        directory = Path(self.mktemp())
        (directory / "security").mkdir(parents=True, mode=0o755)
        folder = furl.prepare_security_dir(Places(directory))
        self.assertEqual(folder.stat().st_mode & 0o777, 0o700)

    def test_of_another_cluster(self) -> None:
        """The folder of a cluster that is not the default one is in that one's, which is closed as well."""
        directory = Path(self.mktemp())
        folder = furl.prepare_security_dir(Places(directory, "b"))
        self.assertEqual(folder, directory / "security" / "b")
        for each in (folder, folder.parent):
            self.assertEqual(each.stat().st_mode & 0o777, 0o700)

    def test_not_a_folder(self) -> None:
        """A file in the way is an error that names it."""
        directory = Path(self.mktemp())
        directory.write_text("")
        error = self.assertRaises(SecurityError, furl.prepare_security_dir, Places(directory))
        self.assertIn(str(directory), str(error))

    def test_write_private(self) -> None:
        """A file is replaced as a whole, private, and leaves nothing beside it."""
        directory = Path(self.mktemp())
        directory.mkdir()
        path = directory / "file"
        path.write_text("old")
        path.chmod(0o644)
        furl.write_private(path, "new")
        self.assertEqual(path.read_text(), "new")
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(list(directory.iterdir()), [path])

    def test_cannot_write(self) -> None:
        """A folder that is not there is an error that names the file."""
        error = self.assertRaises(SecurityError, furl.write_private, Path(self.mktemp()) / "x", "text")
        self.assertIn("cannot write", str(error))


class PartsTests(SynchronousTestCase):
    def test_parts(self) -> None:
        """Tub id and location may be shown; the secret is apart."""
        self.assertEqual(furl.tub_and_location(FURL), ("a" * 32, "10.0.0.1:4000,127.0.0.1:4000"))
        self.assertEqual(furl.secret(FURL), "s" * 32)
