"""Frames over Unix sockets between a service and the processes of its runner."""
