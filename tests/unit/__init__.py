"""Tests of the judgements, of the thin layer that reads and changes a Mac, and of the repository itself; no lab is needed."""
