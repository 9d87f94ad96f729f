"""Configuration: settings, the .ini files that hold them, and where their values come from."""
