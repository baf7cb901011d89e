"""`python -m seqit`, for where the scripts are not on the path."""

from seqit.cli import main

if __name__ == "__main__":
    main()
