"""`aidb top`: the cluster live in a terminal.

`seen` asks the programs, `rates` works out figures from two looks (pure), `board` what there is to show
(pure), `screen` draws it, `keys` reads the keyboard, `run` is the loop.
"""
