"""The command line: parse, wire, print. Owns no logic; it calls the other packages' functions.

Nothing heavy is imported before a command needs it, so that every ``--help`` answers at once.
"""
