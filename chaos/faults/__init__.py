"""What is done to a cluster: one file a fault (kill_leader.py, partition.py), and what they share."""
