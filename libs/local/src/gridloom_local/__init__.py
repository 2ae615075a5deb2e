"""The embedded Gridloom stack and the gridloom command."""
