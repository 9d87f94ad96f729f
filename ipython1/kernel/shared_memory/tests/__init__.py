"""Tests of shared memory."""
