"""`[journal]` of the configuration: how much the journal keeps, and what an answer waits for."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class JournalSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The record of numbers and messages that survives the process: append-only segments on disk."""

    directory: Annotated[str, Meta(description="directory of the segments, relative to this file; one per gateway")] = (
        "journal"
    )
    durability: Annotated[
        Literal["disk", "process", "memory"],
        Meta(
            description="what output waits for: disk = synced, survives a loss of power; process = written, "
            "survives kill -9; memory = nothing is kept, for demos and tests"
        ),
    ] = "disk"
    segment_bytes: Annotated[
        int,
        Meta(ge=1_048_576, le=1 << 31, description="size of a segment, and of the reserve for when the disk is full"),
    ] = 67_108_864
    retain_messages: Annotated[
        int,
        Meta(ge=1_000, le=100_000_000, description="messages that a session can ask for again; 4 bytes of memory each"),
    ] = 1_000_000
    retain_bytes: Annotated[
        int,
        Meta(ge=1_048_576, description="bytes of these messages, per session; whichever limit is reached first counts"),
    ] = 268_435_456
    max_bytes: Annotated[
        int,
        Meta(ge=4_194_304, description="size of the directory; above it the oldest segment is dropped, needed or not"),
    ] = 17_179_869_184
