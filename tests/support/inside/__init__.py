"""What runs inside a virtual Mac when a module is tried there effect by effect."""
