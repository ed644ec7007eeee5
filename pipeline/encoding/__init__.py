"""From images to codes: the device, the pixels on it, the network, and a pass over many images."""
