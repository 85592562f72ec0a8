"""What people see, in a terminal as in a notebook: consoles, progress, tables. Uses rich; decides nothing."""
