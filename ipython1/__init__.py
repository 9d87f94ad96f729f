"""Interactive parallel computing in Python: a controller, engines, and clients to use them from a prompt."""

__version__ = "0.4.0"


def load_ipython_extension(shell):  # type: ignore[no-untyped-def]
    """``%load_ext ipython1``: the magics %px, %autopx, %result and others."""
    from ipython1.kernel.client.magics import load_ipython_extension as load

    load(shell)


def unload_ipython_extension(shell):  # type: ignore[no-untyped-def]
    """``%unload_ext ipython1``"""
    from ipython1.kernel.client.magics import unload_ipython_extension as unload

    unload(shell)
