"""What an operator does to the store as a whole: how long it keeps, whom it forgets, how it is copied."""
