"""`python -m roomlog` is `roomlog`."""

from roomlog.cli.main import main

if __name__ == "__main__":
    main()
