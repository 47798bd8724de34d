"""From a stage to machine code: the source of its kernel, and the kernel compiled or found."""
