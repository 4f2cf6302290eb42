"""AWS IoT Core from the host: the same code for AWS, for MiniStack and for moto."""
