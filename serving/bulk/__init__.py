"""Files of feedback of any size: classified into another file, or taken into the store."""
