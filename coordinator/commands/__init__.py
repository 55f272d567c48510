"""The commands of `coord`, a file per family. Each is imported when it is called."""
