"""Speed and memory, each with a baseline measured in the same run."""
