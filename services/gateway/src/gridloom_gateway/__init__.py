"""The only public HTTP surface of Gridloom."""
