"""One interpreter: a persistent Python namespace that executes, captures and formats, and knows no network."""
