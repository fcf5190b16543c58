"""Everything around the runtime: the command line, lowering, localnet, demo, client. Imported by nothing below."""
