"""Ways to start a controller and engines: on this host, on others, and those that other packages add."""
