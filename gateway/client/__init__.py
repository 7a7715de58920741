"""Python clients for both doors, for users, tests and the demo. Open `fix.py` or `ws.py`.

They share no protocol code with the gateway, so that they cannot repeat its mistakes.
"""
