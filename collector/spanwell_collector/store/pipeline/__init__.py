"""The views that make rows of what comes in: they hold nothing, and are made anew when their text changes."""
