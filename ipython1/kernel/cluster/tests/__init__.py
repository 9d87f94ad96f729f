"""Tests of clusters that programs start."""

from ipython1.core.tests import property_tests as property_tests  # for all tests in here
