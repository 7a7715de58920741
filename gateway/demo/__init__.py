"""`penstock demo`: a venue made up for one run, simulated traders on both doors, and the judge of what they saw.

Open `run.py` first. Nothing else imports it.
"""
