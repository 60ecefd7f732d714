"""Write what is made from other files: locales and help pages."""
