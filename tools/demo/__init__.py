"""`armillary demo`: validators classify images with one model; the story, its screen, the models it ships."""
