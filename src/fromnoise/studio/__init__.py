"""The studio: a page in the browser on the runs below a folder. It holds no state but the run folders."""
