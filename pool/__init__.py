"""What a task, a claim and a worker are, and the only code that changes them in Redis."""

#: The release. What an installation has compiled for its hooks is made anew by the next one.
__version__ = "0.1.0"
