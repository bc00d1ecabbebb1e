"""How the world asks: Flask. One blueprint per noun; views open transactions and call verbs of `models`."""
