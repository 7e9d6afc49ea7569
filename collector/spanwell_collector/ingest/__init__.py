"""From an accepted request to rows: journal, spool, and the writer that moves segments into the engine."""
