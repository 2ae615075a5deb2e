"""What goes over the Gridloom bus: messages, subjects, streams and who may use them."""
