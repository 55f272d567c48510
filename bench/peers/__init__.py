"""Other queues on the same Redis: a module each, run in its own virtualenv (catalogue.py)."""
