"""Every example of the documentation does what the page shows."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from twisted.trial.unittest import SkipTest, TestCase

import ipython1
from ipython1.kernel.tests.pages import Command, Reader, examples, pattern
from ipython1.kernel.tests.program import Program, asynchronous, long

TOP = Path(ipython1.__file__).parent.parent
PAGES = TOP / "docs" / "source"
ALL = "IPYTHON1_TEST_ALL"
"""Set by ``sh scripts/test --all``: run also what takes long or needs a network."""


def need_pages() -> None:
    """Skip the test where the pages are not."""
    if not PAGES.exists():
        raise SkipTest("the documentation is not installed with the package; it is in the source tree")


def text(page: str | Path) -> str:
    return (TOP / page).read_text(encoding="utf-8")


class PageTests(TestCase):
    """Each page, with clusters of its own."""

    timeout = 300

    def setUp(self) -> None:
        need_pages()

    async def check(self, page: str) -> None:
        problems = await Reader(self).run(text(page))
        self.assertEqual(problems, [], "\n\n".join(problems))

    @asynchronous
    async def test_readme(self) -> None:
        """README"""
        await self.check("README")

    @long
    @asynchronous
    async def test_introduction(self) -> None:
        """parallel_intro.txt"""
        await self.check("docs/source/parallel_intro.txt")

    @asynchronous
    async def test_multiengine(self) -> None:
        """parallel_multiengine.txt"""
        await self.check("docs/source/parallel_multiengine.txt")

    @asynchronous
    async def test_interactive(self) -> None:
        """interactive.txt"""
        await self.check("docs/source/interactive.txt")

    @asynchronous
    async def test_task(self) -> None:
        """parallel_task.txt"""
        await self.check("docs/source/parallel_task.txt")

    @asynchronous
    async def test_output(self) -> None:
        """output.txt"""
        await self.check("docs/source/output.txt")

    @asynchronous
    async def test_large_values(self) -> None:
        """large_values.txt"""
        await self.check("docs/source/large_values.txt")

    @long
    @asynchronous
    async def test_coming_back(self) -> None:
        """coming_back.txt"""
        await self.check("docs/source/coming_back.txt")

    @long
    @asynchronous
    async def test_custom_interfaces(self) -> None:
        """custom_interfaces.txt"""
        await self.check("docs/source/custom_interfaces.txt")

    @long
    @asynchronous
    async def test_configuration(self) -> None:
        """configuration.txt"""
        await self.check("docs/source/configuration.txt")

    @long
    @asynchronous
    async def test_clusters(self) -> None:
        """clusters.txt"""
        await self.check("docs/source/clusters.txt")

    @long
    @asynchronous
    async def test_clusters_from_python(self) -> None:
        """clusters_api.txt"""
        await self.check("docs/source/clusters_api.txt")

    @asynchronous
    async def test_security(self) -> None:
        """security.txt"""
        await self.check("docs/source/security.txt")

    def test_no_other_examples(self) -> None:
        """No page has examples but those that are run here."""
        run = {
            "parallel_intro.txt",
            "parallel_multiengine.txt",
            "interactive.txt",
            "parallel_task.txt",
            "large_values.txt",
            "coming_back.txt",
            "output.txt",
            "custom_interfaces.txt",
            "clusters.txt",
            "clusters_api.txt",
            "configuration.txt",
            "security.txt",
            "install.txt",
        }
        pages = sorted(str(path.relative_to(PAGES)) for path in PAGES.rglob("*.txt"))
        self.assertEqual(
            [page for page in pages if page not in run and list(examples(text(PAGES / page)))], []
        )


SHORTER = {"trial ipython1": "trial ipython1.config"}
"""Commands of the pages that stand for others here: all tests are what this one is among."""


class InstallationTests(TestCase):
    """The pages about installing."""

    timeout = 3600

    def setUp(self) -> None:
        need_pages()

    def commands(self, page: str) -> list[Command]:
        return [typed for block in examples(text(page)) for typed in block if isinstance(typed, Command)]

    def test_short_page(self) -> None:
        """INSTALL has no command that install.txt has not."""
        known = [command.line for command in self.commands("docs/source/install.txt")]
        self.assertEqual([each.line for each in self.commands("INSTALL") if each.line not in known], [])

    @asynchronous
    async def test_commands(self) -> None:
        """The commands of install.txt, one after the other in a copy of the sources, all succeed."""
        if not os.environ.get(ALL):
            raise SkipTest("needs a network and some minutes: sh scripts/test --all")
        copy = Path(self.mktemp()).absolute()
        made = shutil.ignore_patterns(".*", "_trial_temp*", "*.egg-info", "build", "dist", "__pycache__")
        shutil.copytree(TOP, copy, ignore=made)
        commands = self.commands("docs/source/install.txt")
        script = "\n".join(["set -ex", *(SHORTER.get(command.line, command.line) for command in commands)])
        environment = {ALL: "", "PYTHONPATH": "", "IPYTHONDIR": str(copy / ".ipython")}
        program = Program(self, "sh", "-c", script, environment=environment, folder=copy)
        self.assertEqual(await program.ended(), 0, program.output)
        for command in commands:
            self.assertTrue(re.search(pattern(command.expected), program.output), command.line)
