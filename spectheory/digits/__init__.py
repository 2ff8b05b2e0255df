"""Small models of handwritten digits, trained here: real images to run the rules on."""
