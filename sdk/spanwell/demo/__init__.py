"""The demo: a simulated vLLM backend, applications that use it through the proxy, and a day of history.

Nothing here is imported by `import spanwell`. What it makes is labelled as simulated wherever it shows.
"""
