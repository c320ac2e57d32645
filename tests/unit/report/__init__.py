"""Tests of the reports: their data, their table, their picture."""
