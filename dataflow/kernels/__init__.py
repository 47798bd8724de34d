"""From a stage to machine code: generates the kernel's source, then compiles it or finds it in the cache."""
