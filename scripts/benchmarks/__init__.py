"""The same work, done by ipython1 and by others, measured by turns on one machine.

``works`` says what is measured, ``systems/`` how each system does it, in a process of its own (``worker``) with its own
virtual environment.  ``run`` lets them take turns, ``report`` shows what came of it, and ``goals`` what was wanted.
"""
