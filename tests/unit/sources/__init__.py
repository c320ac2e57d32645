"""Tests of the sources of model figures: real requests on loopback, against the lab's registry and servers that mean harm."""
