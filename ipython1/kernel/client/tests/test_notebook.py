"""A real notebook, run by nbclient: what its cells show."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from typing import Any

from twisted.trial.unittest import TestCase

from ipython1.kernel.tests.program import Program, RealCluster, asynchronous

NEEDED = ("nbclient", "nbformat", "ipykernel", "pandas", "matplotlib")

RUN = """
import json, sys
import nbclient, nbformat

cells = [nbformat.v4.new_code_cell(source) for source in json.load(sys.stdin)]
notebook = nbformat.v4.new_notebook(cells=cells)
nbclient.NotebookClient(notebook, timeout=90, kernel_name="python3", allow_errors=True).execute()
print("outputs:" + json.dumps([cell.outputs for cell in notebook.cells]))
"""

CELLS = (
    "from ipython1.kernel import client\nmec = client.MultiEngineClient()\nmec.execute('import time, pandas')",
    # Live: the list of results does not say it once more.
    "mec.execute('for i in range(3):\\n    print(f\"step {i}\\\\n\", end=\"\")\\n    time.sleep(0.2)')",
    "pr = mec.execute('print(\"a\")\\ndisplay(pandas.DataFrame({\"x\": [id]}))\\nprint(\"b\")\\nid * 2', block=False)\n"
    "import concurrent.futures\nconcurrent.futures.wait([pr])\n"
    "pr.display_outputs()",
    "mec.execute('import matplotlib.pyplot as plt\\nplt.plot([1, 2]);', targets=0, timeout=60)",
    "await mec.pull('id', block=False)",
    "pr = mec.execute('time.sleep(0.7)', block=False)\npr.wait_interactive(), pr.progress, pr.total",
    "tc = client.TaskClient()\n"
    "def loud(n):\n    import time\n    print('task', n)\n    time.sleep(0.5)\n    import pandas\n"
    "    from IPython.display import display\n    display(pandas.DataFrame({'y': [n]}))\n    return n\n"
    "tc.submit(loud, 3).r",
    # Those of the picture in the documentation.
    "mec.activate()",
    "%%px --group-outputs engine\nimport matplotlib.pyplot as plt, pandas, time\nfor step in range(2):\n"
    "    print('step', step)\n    time.sleep(0.3)\npandas.DataFrame({'engine': [id, id], 'n': [id, id ** 2]})",
    "%%px --group-outputs engine\nplt.figure(figsize=(2.6, 1.3))\nplt.plot([x ** (id + 1) for x in range(5)]);",
)

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class NotebookTests(TestCase):
    timeout = 110
    skip = next((f"{name} is not installed" for name in NEEDED if importlib.util.find_spec(name) is None), None)

    def printed(self, outputs: list[dict[str, Any]], name: str = "stdout") -> str:
        texts = [output["text"] for output in outputs if output["output_type"] == "stream" and output["name"] == name]
        return COLOUR.sub("", "".join(texts))

    def data(self, outputs: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
        return [output["data"] for output in outputs if output["output_type"] == kind]

    @asynchronous
    async def test_outputs(self) -> None:
        """What comes while a cell runs, rich output of each engine, figures, await, bars, tasks."""
        cluster = RealCluster(self, 2)
        await cluster.ready()
        # Not the kernels of who runs the tests, nor the settings.
        own = {name: os.path.abspath(self.mktemp()) for name in ("MPLCONFIGDIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")}
        environment = {**cluster.environment, **own}
        program = Program(
            self, sys.executable, "-c", RUN, environment=environment, stdin=json.dumps(CELLS).encode()
        )
        self.assertEqual(await program.ended(), 0, program.output)
        start, live, rich, figure, awaited, bar, task, *picture = json.loads(program.output.split("outputs:")[1])

        self.assertEqual([output["output_type"] for output in start], ["execute_result"], start)
        lines = sorted(self.printed(live).splitlines())
        self.assertEqual(lines, sorted(f"[stdout:{engine}] step {i}" for engine in (0, 1) for i in range(3)))
        self.assertNotIn("Out[", self.data(live, "execute_result")[0]["text/plain"])

        self.assertEqual(
            self.printed(rich),
            "".join(
                f"[stdout:{engine}] a\n[output:{engine}]\n[stdout:{engine}] b\nOut[{engine}:3]: {2 * engine}\n"
                for engine in (0, 1)
            ),
        )
        tables = self.data(rich, "display_data")
        self.assertEqual(len(tables), 2)
        for table in tables:
            self.assertIn("<th>x</th>", table["text/html"])

        (value,) = self.data(figure, "execute_result")
        self.assertIn('[output:0]</pre><img src="data:image/png;base64,iVBOR', value["text/html"])
        self.assertEqual(self.data(awaited, "execute_result")[0]["text/plain"], "[0, 1]")
        self.assertEqual(self.data(bar, "execute_result")[0]["text/plain"], "(True, 2, 2)")
        self.assertIn("2/2", self.printed(bar, "stderr"))
        text = r"^\[stdout:([01])\] task 3\n\[stdout:\1\]    y\n\[stdout:\1\] 0  3\n\[output:\1\]\n$"
        self.assertRegex(self.printed(task), text)
        self.assertIn("<th>y</th>", self.data(task, "display_data")[0]["text/html"])
        self.assertEqual(self.data(task, "execute_result")[0]["text/plain"], "3")
        self.check_picture(*picture)

    def check_picture(self, active: list[Any], tables: list[Any], figures: list[Any]) -> None:
        """What the picture in the documentation shows is so."""
        self.assertEqual(active, [])
        lines = self.printed(tables).splitlines()
        self.assertEqual(lines[0], "Parallel execution on engines: all")
        self.assertEqual(sorted(lines[1:5]), [f"[stdout:{engine}] step {step}" for engine in (0, 1) for step in (0, 1)])
        self.assertRegex(self.printed(tables), r"Out\[0:\d+\]:\nOut\[1:\d+\]:\n$")
        self.assertEqual(["<th>engine</th>" in shown["text/html"] for shown in self.data(tables, "display_data")], [True, True])
        self.assertTrue(self.printed(figures).endswith("[output:0]\n[output:1]\n"), self.printed(figures))
        self.assertEqual(["image/png" in shown for shown in self.data(figures, "display_data")], [True, True])
