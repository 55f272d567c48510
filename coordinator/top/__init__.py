"""`coord top`: what is read (board), when (feed), what of it is shown (choice, screen), where (terminal)."""
