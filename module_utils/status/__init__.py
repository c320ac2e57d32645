"""On the controller: the report of how the fleet is, for people and programs."""
