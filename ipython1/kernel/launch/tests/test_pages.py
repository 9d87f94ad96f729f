"""The examples of the pages about launchers and ssh are right."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from textwrap import dedent

from twisted.trial.unittest import SkipTest, TestCase

import ipython1
from ipython1.kernel.launch.clusterfile import parse_cluster_file
from ipython1.kernel.tests.program import Program, asynchronous, search_path
from ipython1.kernel.tests.transcript import indented_blocks

DOCS = Path(ipython1.__file__).parent.parent / "docs"


class PageTests(TestCase):
    """What a reader would copy."""

    timeout = 300

    def setUp(self) -> None:
        if not DOCS.exists():
            raise SkipTest("the documentation is not installed with the package; it is in the source tree")

    def test_cluster_files(self) -> None:
        """The cluster files of the page about ssh."""
        page = (DOCS / "source" / "clusters_ssh.txt").read_text(encoding="utf-8")
        files = [block for block in map(dedent, indented_blocks(page)) if re.search(r"^engines = ", block, re.MULTILINE)]
        self.assertEqual([len(parse_cluster_file(file, "page").shares) for file in files], [3, 2])

    @asynchronous
    async def test_launcher(self) -> None:
        """The launcher that another package brings, as if that package were installed."""
        folder = Path(self.mktemp()).absolute()
        info = folder / "nice_launcher-1.0.dist-info"
        info.mkdir(parents=True)
        shutil.copy(DOCS / "examples" / "launchers" / "nice_launcher.py", folder)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nice_launcher\nVersion: 1.0\n")
        page = (DOCS / "source" / "launchers.txt").read_text(encoding="utf-8")
        named = re.search(r'\{"(ipython1\.launchers)": \["(.+)"\]\}', page)
        assert named is not None
        (info / "entry_points.txt").write_text(f"[{named[1]}]\n{named[2]}\n")
        environment = {
            "PYTHONPATH": os.pathsep.join([str(folder), search_path()]),
            "IPYTHONDIR": str(folder / "ipython"),
        }
        command = ["-m", "ipython1.kernel.scripts.ipcluster", "nice", "-n", "1", "--nice", "7"]
        cluster = Program(self, sys.executable, *command, environment=environment)
        await cluster.said("with 1 engine")
        source = (
            "from ipython1.kernel import client; mec = client.MultiEngineClient();"
            " mec.execute('import os; nice = os.nice(0)'); print(mec.pull('nice'))"
        )
        user = Program(self, sys.executable, "-c", source, environment=environment)
        self.assertEqual(await user.ended(), 0, user.output)
        self.assertEqual(user.output.strip(), "[7]")
        cluster.signal("INT")
        self.assertEqual(await cluster.ended(), 0, cluster.output)
