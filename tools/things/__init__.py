"""What belongs to one thing on this computer; imported by tools.aws and tools.board."""
