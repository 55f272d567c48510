"""What a task, a claim and a worker are, and the only code that changes them in Redis."""
