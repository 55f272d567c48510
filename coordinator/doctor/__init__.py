"""What `coord doctor` looks at, a file per subject. Looking changes nothing."""
