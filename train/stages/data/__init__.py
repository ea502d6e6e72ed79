"""What the stages read: packed rows and their masks, batches of pairs, tables of a user's own."""
