"""The host agent (``ipengine``), which supervises the interpreters of one host."""
