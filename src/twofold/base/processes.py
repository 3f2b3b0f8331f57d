"""Whether this process has started a group, which can be of itself alone. Floor 0."""

backends: list[str] = []  # what the processes of the group talk by; empty where there is none
