"""Who may ask a node for what: roles, the table of what needs which, and how whoever asks is known."""
