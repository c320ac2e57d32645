"""The opinions of the fleet: pure functions over what was found and what is wanted, without I/O or Ansible."""
