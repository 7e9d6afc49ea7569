"""The SQL door: the part of ClickHouse's HTTP interface that readers use, over the embedded engine."""
