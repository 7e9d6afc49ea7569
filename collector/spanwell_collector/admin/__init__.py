"""What an operator does to a collector by command: one module a noun, each with its own arguments."""
