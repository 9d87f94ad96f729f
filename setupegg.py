"""``python setupegg.py develop``: install so that changes in this folder take effect at once.

Setuptools has left that command to pip, so ``develop`` is handed on as ``pip install --editable``; options behind
it, like ``--no-deps``, are passed to pip.  All other commands are those of setup.py.
"""

import runpy
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    if sys.argv[1:2] == ["develop"]:
        command = [sys.executable, "-m", "pip", "install", *sys.argv[2:], "--editable", str(HERE)]
        sys.exit(subprocess.run(command).returncode)
    runpy.run_path(str(HERE / "setup.py"), run_name="__main__")


if __name__ == "__main__":
    main()
