"""What the controller alone does before a run: ask where model figures can be had, and write what was judged."""
