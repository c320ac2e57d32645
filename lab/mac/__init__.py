"""What runs inside a virtual Mac: its launchd and the stand-ins for macOS commands."""
