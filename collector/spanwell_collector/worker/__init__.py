"""The worker: judges answers, tests prompts for drift, watches alert rules.

It reads through the collector's query API and calls models through the proxy; it never opens the store.
"""
