"""The monitor: hears what sessions' hooks report and what the pool does, and shows each session's state."""
