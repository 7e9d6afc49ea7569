"""What would have been: stored traffic, answered once more under other rules."""
