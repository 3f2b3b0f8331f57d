"""What is done with graphs. Floor 12."""
