"""The admin port: health, metrics, status and operators' commands, on an address that clients cannot reach.

Open `app.py` for the routes, `mode_control.py` for the effect of a command.
"""
