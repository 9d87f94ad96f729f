"""How each system does the work: modules that import that system, and the standard library, and nothing else of here."""
