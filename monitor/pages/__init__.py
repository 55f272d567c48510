"""The web page: what the monitor knows, for people. Rendered here; a small script keeps it up to date."""
