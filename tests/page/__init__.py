"""Tests of the budget page in a real browser."""
