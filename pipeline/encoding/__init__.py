"""From images to hash codes: device selection, image batches on the device, the network, and encoding."""
