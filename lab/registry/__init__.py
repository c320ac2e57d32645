"""An offline model registry for the virtual fleet: true names, true headers, true sizes, zeros for weights."""
