"""`python -m speechbench`."""

from speechbench.cli import main

if __name__ == "__main__":
    main()
