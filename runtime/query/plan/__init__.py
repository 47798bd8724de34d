"""Before anything is read: the files, the tasks, the plan in words."""
