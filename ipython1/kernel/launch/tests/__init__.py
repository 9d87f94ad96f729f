"""Tests of the controller."""

from ipython1.core.tests import property_tests as property_tests  # for all tests in here
