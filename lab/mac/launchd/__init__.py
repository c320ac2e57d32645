"""A small launchd for virtual Macs: it really starts, supervises and reaps, and answers as launchd does."""
