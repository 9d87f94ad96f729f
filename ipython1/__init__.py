"""Interactive parallel computing in Python: a controller, engines, and clients to use them from a prompt."""

__version__ = "0.4.0"
