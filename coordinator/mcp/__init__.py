"""The pool's MCP server: its tools for a worker's session, and for whoever looks after the pool."""
