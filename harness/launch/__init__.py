"""What starts trials. Every launcher starts the same worker by command line and reads the store."""
