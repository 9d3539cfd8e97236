"""What the service mounts for Label Studio: predictions for the open task, and hints that a pull is due."""
