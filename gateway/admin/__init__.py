"""The operators' door: health, metrics, status and operators' commands, on a port that clients never reach.

Open `app.py` for the routes, `mode_control.py` for what a command does.
"""
