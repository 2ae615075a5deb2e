"""`gridloom doctor`: is this machine, and the stack that runs on it, as it should be? One module a subject."""
