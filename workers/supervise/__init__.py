"""`coord worker run`: the supervisor and the kinds of session that it keeps."""
