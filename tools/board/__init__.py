"""What goes onto a board, and how it gets there."""
