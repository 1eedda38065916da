"""What rows look like on the wire: objects, lists, envelopes."""
