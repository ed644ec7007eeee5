"""One thin script a stage: read params, call the library, write the declared outputs."""
