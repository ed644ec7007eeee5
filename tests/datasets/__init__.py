"""Every dataset on files in its own format, made here: a few small images each."""
