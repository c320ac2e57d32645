"""The program of the fleet on a Mac: `ollama-fleet VERB`, started by launchd. Standard library alone."""
