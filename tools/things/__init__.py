"""What belongs to one thing on this computer: folder, certificates, configuration, board."""
