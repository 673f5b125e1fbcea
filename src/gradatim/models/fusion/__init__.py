"""Networks that join several inputs."""
