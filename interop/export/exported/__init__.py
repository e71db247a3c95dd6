"""Files that exported methods have beside their own: they stand between our methods and upstream Dassl."""
