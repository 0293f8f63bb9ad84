"""What one stage does: records in, records out. Knows nets and options; no files, no devices, no printing."""
