"""What engines print, shown over connections that are lost meanwhile."""

from __future__ import annotations

import re
import sys

from ipython1.kernel.tests.program import Program, asynchronous
from ipython1.kernel.tests.test_outage_cluster import OutageTestCase

LINES = 150

# Each line is written at once: on a busy machine it could be shown in pieces otherwise.
SHOWS = f"""
import sys
from ipython1.kernel import client
mec = client.MultiEngineClient(sys.argv[1])
mec.live_output = True
results = mec.execute("import time\\nfor i in range({LINES}): print(f'line {{i}}\\\\n', end=''); time.sleep(0.02)")
print(all(result.stdout.count('\\n') == {LINES} for result in results))
"""


class LiveOutageTests(OutageTestCase):
    @asynchronous
    async def test_cuts(self) -> None:
        """When a connection is lost and comes back, nothing is left out, and nothing comes twice."""
        await self.cluster()
        program = Program(self, sys.executable, "-c", SHOWS, self.through("multiengine"))
        for line, role in ((20, "multiengine"), (50, "engine"), (80, "multiengine"), (81, "engine")):
            await program.said(rf"\[stdout:0\] line {line}\n")
            self.proxies[role].cut()
        self.assertEqual(await program.ended(), 0, program.output)
        for engine in (0, 1):
            shown = re.findall(rf"^\[stdout:{engine}\] line (\d+)$", program.output, re.MULTILINE)
            self.assertEqual(shown, [*map(str, range(LINES))])
        self.assertTrue(program.output.endswith("True\n"), program.output)
