"""Planning, before anything is read: files, tasks, explanation."""
