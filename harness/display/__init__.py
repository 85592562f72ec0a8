"""Output for people, in a terminal or a notebook: consoles, progress, tables. Uses rich; decides nothing."""
