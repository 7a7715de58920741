"""The gateway process: sockets, wiring, operations. The wires are in `protocols`, who may do how much in `limits`.

Open `server.py` first: it builds the parts below and starts and drains them in order. A package imports only what is in
a later row of the layers in `pyproject.toml`, from `cli` down to `config`, `core` and `journal`.
"""
