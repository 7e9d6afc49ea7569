"""The semantic cache: a question that was asked in other words gets the answer that is there."""
