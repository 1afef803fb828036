"""What is done to a cluster: one file per fault, and what they share: who is meant, what is foretold, what proves."""
