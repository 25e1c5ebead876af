"""`python -m roomlog.cli` is `roomlog`."""

from roomlog.cli.main import main

if __name__ == "__main__":
    main()
