"""The target's part of slot moves, and the clean-up of both sides (rules M).

mover      follows the topology: which attempts run here, and which slots hold what nobody owns here
importing  one attempt, from the copy to the drain
calls      what it asks the source and tells the coordinator
horizon    no topology is obeyed that is older than the one before
document   what the topology says of this shard's moves
figures    what the imports came to, as metrics
"""
