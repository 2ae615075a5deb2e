"""Accepts, orders, assigns, fences and ends every Gridloom job."""
