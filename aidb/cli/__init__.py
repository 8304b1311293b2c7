"""The command line `aidb`. `docs/cli.md` documents its commands, output and exit codes.

`app` has the commands' parameters and imports nothing heavy; each command's work lies in a module of its
own, which is imported when the command runs, so that `aidb --help` and completion stay quick.
"""
