"""A case as one page for a browser or a printer, complete in itself."""
