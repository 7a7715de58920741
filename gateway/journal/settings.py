"""How much the journal keeps, and what an answer waits for: the configuration's `[journal]`, and the journal's own."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class JournalSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The record of numbers and messages that survives the process: append-only segments on disk."""

    directory: Annotated[
        str, Meta(description="where the segments lie, relative to this file; one gateway a directory")
    ] = "journal"
    durability: Annotated[
        Literal["disk", "process", "memory"],
        Meta(
            description="what bytes wait for before they leave: disk = synced, survives power loss; process = written, "
            "survives kill -9; memory = nothing is kept, for demos and tests"
        ),
    ] = "disk"
    segment_bytes: Annotated[
        int, Meta(ge=1_048_576, le=1 << 31, description="size of a segment, and of the reserve for a full disk")
    ] = 67_108_864
    retain_messages: Annotated[
        int, Meta(ge=1_000, le=100_000_000, description="messages a session can ask for again; 4 bytes of memory each")
    ] = 1_000_000
    retain_bytes: Annotated[
        int, Meta(ge=1_048_576, description="their bytes, each session: whichever is reached first")
    ] = 268_435_456
    max_bytes: Annotated[
        int, Meta(ge=4_194_304, description="the whole directory; above it the oldest segment goes, needed or not")
    ] = 17_179_869_184
