"""The operators' door: health, metrics and status on a port of its own. Clients never reach it."""
