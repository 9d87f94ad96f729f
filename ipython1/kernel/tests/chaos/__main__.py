"""``sh scripts/chaos``: the harness as a command."""

import sys

from ipython1.kernel.tests.chaos.command import main

sys.exit(main())
