"""The command line: parse, wire, print. Owns no logic; what it wires are the other rooms' functions.

Nothing heavy is imported before a command needs it, so that every ``--help`` answers at once.
"""
