"""The configuration of the parallel kernel.

>>> from ipython1.kernel.config import config_manager
>>> config_manager.write_default_config_file()
"""

from ipython1.config.manager import ConfigManager
from ipython1.kernel.config.settings import KERNEL

config_manager = ConfigManager(KERNEL)
"""The settings of controller, engines, clusters and clients, in ``ipython1.kernel.ini``."""
