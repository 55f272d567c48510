"""Tools of the repository: lint, measurements, a redis-server for machines without one."""
