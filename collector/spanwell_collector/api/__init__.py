"""The query API over HTTP: parameters checked, one question asked, rows answered as JSON or Arrow."""
