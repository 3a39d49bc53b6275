"""How the small checkpoint that ships with the package is made from nothing."""
