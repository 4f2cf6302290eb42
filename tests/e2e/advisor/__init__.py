"""The test cases of AWS IoT Device Advisor against the staged firmware on a virtual board."""
