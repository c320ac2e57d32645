"""The memory budget: figures, headers, the model of memory, its rules, and what-if."""
