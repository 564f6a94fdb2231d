"""`python -m atonce` is `atonce`."""

from atonce.cli.main import main

if __name__ == "__main__":
    main()
