"""A call that several spans tell of is counted once, and knows what the spans around it know."""
