"""Which colour a thing has: the same on every page and every day, in the light theme and in the dark one."""

from collections.abc import Iterable
from typing import Final
from zlib import crc32

PALETTE: Final = (
    "#5b6ee8",  # indigo
    "#18a690",  # teal
    "#e39b24",  # amber
    "#db5478",  # rose
    "#3a9bdc",  # sky
    "#b39df2",  # lavender
    "#7ca836",  # olive
    "#e0723a",  # orange
    "#6f84a8",  # slate
    "#21b3c4",  # cyan
    "#c255ae",  # magenta
    "#a97f57",  # brown
)
OTHER: Final = "#9aa1ad"
OTHER_NAME: Final = "other"
BLUE: Final = "#5b6ee8"
TEAL: Final = "#18a690"
AMBER: Final = "#e39b24"
RED: Final = "#e0484d"
GRAY: Final = "#9aa1ad"

OPERATIONS: Final = {
    "chat": "#5b6ee8",
    "text_completion": "#5b6ee8",
    "embeddings": "#e39b24",
    "rerank": "#e39b24",
    "moderation": "#6f84a8",
    "image_generation": "#c255ae",
    "speech": "#18a690",
    "transcription": "#18a690",
    "retrieval": "#21b3c4",
    "execute_tool": "#e0723a",
    "invoke_agent": "#9a63d8",
    "create_agent": "#9a63d8",
    "invoke_workflow": "#c255ae",
}


def assign(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name: its hash picks one, and the next free one when two names want the same.

    Pass every name the project knows, not those of one chart, and a filter never changes a colour.
    """
    taken: dict[int, str] = {}
    for name in sorted(set(names) - {OTHER_NAME}):
        wanted = crc32(name.encode())
        slots = [(wanted + step) % len(PALETTE) for step in range(len(PALETTE))]
        taken.setdefault(next((slot for slot in slots if slot not in taken), len(PALETTE) + len(taken)), name)
    chosen = {name: PALETTE[slot % len(PALETTE)] for slot, name in taken.items()}
    return chosen | {OTHER_NAME: OTHER}
