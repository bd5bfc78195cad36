"""Fourth room: turns an incident into a tested change, tries it on a few, and keeps or takes it back by live votes."""
