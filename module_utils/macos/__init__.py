"""What reads and changes a Mac: thin I/O around the judgements of `fleet`, standard library only."""
