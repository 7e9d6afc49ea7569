"""The one door to the engine: an embedded chDB directory or a ClickHouse server, behind the same five calls.

Nothing outside this package knows which of the two it is.
"""
