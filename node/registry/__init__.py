"""An HTTP registry, in which nodes say where they are and look each other up. It decides nothing."""
