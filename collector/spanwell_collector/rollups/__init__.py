"""Sums of whole hours and days: what they hold, who builds them, how they are read."""
