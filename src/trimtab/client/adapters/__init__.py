"""Ready-made handlers of patches for indexes that many apps have. Each imports its library when it is made."""
