"""The packet filter pf: its rule language, its state, and its translation to a filter that really drops."""
