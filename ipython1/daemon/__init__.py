"""Supervision: keeps the processes of a cluster running, and tells how they are."""
