"""Side-by-side measurements: `make bench`, or `python -m bench --quick`. Not installed with the package."""
