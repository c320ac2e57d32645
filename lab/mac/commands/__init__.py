"""Stand-ins for the macOS commands that a playbook for a Mac touches."""
