"""What a Gridloom job is: states, ids, lanes and errors, without any I/O."""
