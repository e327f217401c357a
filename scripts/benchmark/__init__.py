"""A benchmark of training loops: the same work by trainkit, by hand-written loops and by other frameworks."""
