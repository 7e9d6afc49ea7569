"""Whatever names an emitter uses, its spans are stored under ours: a table of data, and what a table cannot say."""
