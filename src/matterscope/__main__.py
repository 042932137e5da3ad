"""``python -m matterscope``: the command line."""

from matterscope.cli.app import main

if __name__ == "__main__":
    main()
