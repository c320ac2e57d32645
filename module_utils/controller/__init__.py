"""What actions and callbacks on the controller share; it needs Ansible itself."""
