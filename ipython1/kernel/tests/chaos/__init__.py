"""The chaos harness: a real cluster under load, faults from a seed, and a checker of what came of it all."""
