"""What cancels orders for a client: cancel-on-disconnect, the dead-man's switch, the operators' kill switch. Pure.

Open `cancel_on_disconnect.py` first. All of them end in a MassCancel on the control lane of the order path, which is
never limited and never shed.
"""
