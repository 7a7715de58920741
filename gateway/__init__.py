"""The gateway process: sockets, wiring, operations. The wire protocols are in `protocols`, the rate limits in `limits`.

Open `server.py` first: it builds the parts below, and starts and drains them in order. A package imports only from
later rows of the layers in `pyproject.toml`, from `cli` down to `config`, `core` and `journal`.
"""
