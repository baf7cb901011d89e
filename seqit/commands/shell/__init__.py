"""What all commands share: errors and exit codes, common options, progress, the run report."""
