"""What is wrong between a thing and AWS: one file a group of checks, cli.py starts them."""
