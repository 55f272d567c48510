"""One file per Claude Code hook, what they share, and the installer."""
